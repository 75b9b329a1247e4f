using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Runtime.Configuration;
using Archipelago.Xseg.Layout;

namespace Archipelago.Cli.Commands;

/// <summary>`config` and `version`.</summary>
internal static class ConfigCommands
{
    internal static Task<int> Example()
    {
        Invocation.Write("# Configuration of archipelago. The sections of peers that are not wanted are to be removed: a peer runs if its section is there.");
        Invocation.Write("");
        Console.Out.Write(ConfigHelp.Example(DaemonConfig.Schema.Sections));
        return Task.FromResult(ExitCode.Ok);
    }

    internal static Task<int> CheckAsync(Invocation invocation, CancellationToken cancel)
    {
        using var state = Common.StateOf(invocation);
        var config = Common.ConfigOf(invocation, state);
        // Making the peers finds what only they can see; nothing is started.
        foreach (var kind in config.Enabled) _ = kind.Make(config.Config);
        config.RefuseUnservedRoutes();
        _ = config.Control("control");
        _ = config.Metrics;
        Console.Out.Write(config.Config.Describe());
        Invocation.Note($"ok: {string.Join(", ", config.Enabled.Select(k => k.Name))}");
        return Task.FromResult(ExitCode.Ok);
    }

    internal static Task<int> Version(Invocation invocation)
    {
        var facts = new Dictionary<string, string>
        {
            ["version"] = PeerProcess.Version,
            ["layout"] = SegmentHeader.CurrentLayout.ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["runtime"] = Environment.Version.ToString(),
            ["peers"] = string.Join(", ", PeerCatalogue.Names),
        };
        if (invocation.Json) Invocation.WriteJson(facts, DaemonJson.Default.DictionaryStringString);
        else Invocation.Write($"archipelago {facts["version"]} (segment layout {facts["layout"]}, .NET {facts["runtime"]}; peers: {facts["peers"]})");
        return Task.FromResult(ExitCode.Ok);
    }
}
