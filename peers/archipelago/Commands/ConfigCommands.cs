using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Runtime.Configuration;
using Archipelago.Xseg.Layout;

namespace Archipelago.Cli.Commands;

/// <summary>`config` and `version`.</summary>
internal static class ConfigCommands
{
    internal static Task<int> Example(Invocation invocation)
    {
        if (invocation.Json)
        {
            IReadOnlyList<SectionView> sections = [.. DaemonConfig.Schema.Sections.Select(s => new SectionView(
                s.Title, s.Summary, [.. s.Options.Select(o => new OptionView(o.Key, o.Placeholder, o.DefaultText, o.Expected, o.Description))]))];
            Invocation.WriteJson(sections, DaemonJson.Default.IReadOnlyListSectionView);
            return Task.FromResult(ExitCode.Ok);
        }

        Invocation.Write("# Configuration of archipelago. A peer runs if its section is there. This file runs what `archipelago up` does without one: remove the # in front");
        Invocation.Write("# of an option to set it; for another store remove the # in front of its section and put one in front of [filed].");
        Invocation.Write("");
        Console.Out.Write(ConfigHelp.Example(DaemonConfig.Schema.Sections, DaemonConfig.IsOffByDefault));
        return Task.FromResult(ExitCode.Ok);
    }

    internal static Task<int> CheckAsync(Invocation invocation, CancellationToken cancel)
    {
        using var state = Common.StateOf(invocation);
        var config = Common.ConfigOf(invocation, state);
        // As `up`, which may find a segment that has its sizes already; a new one must be possible, too.
        config.RefuseUnservedRoutes();
        _ = config.Prepare(DaemonConfig.UpName, config.Enabled);
        _ = config.SegmentSizes(config.Enabled);
        var off = PeerCatalogue.Kinds.Except(config.Enabled).ToList();
        bool IsShown(ConfigSection section) => off.All(k => k.Name != section.Name);
        if (invocation.Json)
        {
            var sections = config.WithDerived.Sections.Where(IsShown).ToDictionary(
                s => s.Name, s => (IReadOnlyDictionary<string, ConfigEntry>)s.Values.ToDictionary(v => v.Key, v => new ConfigEntry(v.Value.Text, v.Value.Origin.ToString())));
            Invocation.WriteJson(new ConfigView([.. config.Enabled.Select(k => k.Name)], sections), DaemonJson.Default.ConfigView);
            return Task.FromResult(ExitCode.Ok);
        }

        Console.Out.Write(config.WithDerived.Describe(IsShown));
        string runs = config.Enabled.Count == 0 ? "no peer" : string.Join(", ", config.Enabled.Select(k => k.Name));
        Invocation.Note($"ok: `archipelago up` starts {runs}{(off.Count == 0 ? "" : $"; not {string.Join(", ", off.Select(k => k.Name))}")}");
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
