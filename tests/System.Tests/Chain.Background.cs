using System.Diagnostics;
using System.Text.Json;

namespace Archipelago.Cli.Tests;

/// <summary>What the tests of the whole system need besides: clients that run beside the test, and peers by name.</summary>
internal sealed partial class Chain
{
    /// <summary>Folder of the source tree.</summary>
    internal static string Source { get; } = FindSource();

    /// <summary>A configuration of which each peer may run in a process of its own. POLICY stands for the policy of the cache.</summary>
    internal const string Separate = """
        [segment]
        spare = 4096
        [filed]
        [cached]
        size = 32M
        policy = POLICY
        dirty-age = 1s
        [mapperd]
        [vlmcd]
        [nbd]
        """;

    /// <summary>Starts a client that runs beside the test; it is killed at the end if it still runs.</summary>
    internal Background Begin(string program, params string[] arguments)
    {
        var background = new Background(Process.Start(StartInfo(program, arguments))!, $"{program} {string.Join(' ', arguments)}");
        _started.Add(background.Process);
        return background;
    }

    internal Background BeginFio(string volume, params string[] more) => Begin("fio", FioArguments(volume, more));

    /// <summary>Kills a process of this chain with SIGKILL and waits until it is gone.</summary>
    internal static void KillHard(Process process)
    {
        Signal(process, SigKill);
        process.WaitForExit();
    }

    /// <summary>Requests that the gateway has had from its clients since it started.</summary>
    internal long ClientRequests()
    {
        foreach (var process in Run("status", "--json").Good().Json.GetProperty("processes").EnumerateArray())
        {
            if (process.TryGetProperty("report", out var report) && report.ValueKind == JsonValueKind.Object
                && report.GetProperty("sections").TryGetProperty("nbd", out var nbd) && nbd.TryGetProperty("clientRequests", out var count))
            {
                return count.GetInt64();
            }
        }

        return 0;
    }

    /// <summary>Waits until clients have had answers to so many more requests.</summary>
    internal void WaitForRequests(long more)
    {
        long before = ClientRequests();
        WaitFor(() => ClientRequests() >= before + more, $"{more} more requests of clients");
    }

    internal string PortState(string port) =>
        Run("segment", "ports", "--json").Good().Json.EnumerateArray().First(p => p.GetProperty("name").GetString() == port).GetProperty("state").GetString()!;

    /// <summary>Stamps blocks of an export, or checks the stamps (see stamps.py).</summary>
    internal Background Stamps(string what, string uri, string record, params string[] more) =>
        Begin("/usr/bin/python3", [Path.Combine(AppContext.BaseDirectory, "stamps.py"), what, uri, record, .. more]);

    private static string FindSource()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Storage.sln"))) folder = Path.GetDirectoryName(folder) ?? throw new FileNotFoundException("Storage.sln is in no folder above the tests");
        return folder;
    }
}
