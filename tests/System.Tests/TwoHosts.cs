using System.Diagnostics;
using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Two segments over one store, as two hosts would be. The blocker of each is a process of its own, so that it can be fenced by itself.</summary>
internal sealed class TwoHosts : IDisposable
{
    private readonly string _config;

    internal TwoHosts(string blocker, Func<string, string> section, string lease)
    {
        _config = A.Write("two.conf", $"""
            [segment]
            spare = 4096
            [{blocker}]
            {section(A.Root)}
            [cached]
            size = 32M
            policy = writeback
            dirty-age = 500ms
            [mapperd]
            lease = {lease}
            [vlmcd]
            [nbd]
            """);
        Blocker = blocker;
        foreach (var host in (Chain[])[A, B]) Start(host);
    }

    internal Chain A { get; } = new();
    internal Chain B { get; } = new();
    internal string Blocker { get; }
    /// <summary>Of each host: its blocker, and its other peers.</summary>
    internal Dictionary<Chain, (Process Blocker, Process Others)> Processes { get; } = [];

    public void Dispose()
    {
        B.Dispose();
        A.Dispose();
    }

    internal void Start(Chain host)
    {
        var blocker = host.Start("run", Blocker, "--config", _config);
        Processes[host] = (blocker, host.Start("run", "cached", "mapperd", "vlmcd", "nbd", "--config", _config));
    }

    internal void StartBlocker(Chain host) => Processes[host] = (host.Start("run", Blocker, "--config", _config), Processes[host].Others);

    internal void Signal(Chain host, int signal)
    {
        foreach (var process in (Process[])[Processes[host].Blocker, Processes[host].Others])
            if (!process.HasExited) Chain.Signal(process, signal);
    }

    /// <summary>Stops a host, on files not in the middle of a swap: that would hold up the other host's for as long (a limit that filed's README names).</summary>
    internal void Stop(Chain host)
    {
        for (int tries = 0; ; tries++)
        {
            Signal(host, Chain.SigStop);
            host.WaitFor(() => Directory.GetDirectories($"/proc/{Processes[host].Blocker.Id}/task").All(IsStopped), "the stop");
            if (tries == 1000 || !IsSwapping()) return;
            Signal(host, Chain.SigContinue);
            Thread.Sleep(5);
        }
    }

    private static bool IsStopped(string task)
    {
        try
        {
            return File.ReadAllText(task + "/stat").Split(')')[^1].TrimStart().StartsWith('T');
        }
        catch (IOException)
        {
            // A thread that has just ended.
            return false;
        }
    }

    private bool IsSwapping()
    {
        if (Directory.GetFiles(A.Root, "swap.lock", SearchOption.AllDirectories) is not [var file]) return false;
        string inode = A.Execute("stat", "-c", "%i", file).Good().Output.Trim();
        return File.ReadLines("/proc/locks").Any(line => line.Contains("OFDLCK", StringComparison.Ordinal) && line.Contains($":{inode} ", StringComparison.Ordinal));
    }

    internal void Down()
    {
        B.Run("down").Good();
        A.Run("down").Good();
    }

    /// <summary>A lock as a host sees it: "free", "open" here, or "elsewhere", and its epoch.</summary>
    internal static (string State, long Epoch) Lock(Chain host, string volume)
    {
        var state = host.Run("volume", "info", volume, "--json").Good().Json.GetProperty("lock");
        return (state.GetProperty("state").GetString()!, state.TryGetProperty("epoch", out var epoch) ? epoch.GetInt64() : 0);
    }

    /// <summary>A gateway closes a volume some time after its last client has gone.</summary>
    internal static void WaitUntilFree(Chain host, string volume) => host.WaitFor(() => Lock(host, volume).State == "free", $"volume {volume} to be closed");

    /// <summary>Stamps a volume from a host for a while, and leaves it closed.</summary>
    internal static void Write(Chain host, string volume, string record)
    {
        var stamps = host.Stamps("write", host.Uri(volume), record, "64");
        stamps.WaitForOutput("acknowledged", 4);
        EndWell(host, stamps);
        WaitUntilFree(host, volume);
    }

    internal static void EndWell(Chain host, Background stamps)
    {
        var end = stamps.End();
        Assert.True(end.Code == 0 && end.Error.Trim().Length == 0, end.Error + host.Log);
    }

    internal static void Check(Chain host, string export, string record)
    {
        var end = host.Stamps("check", host.Uri(export), record).End();
        Assert.True(end.Code == 0, $"{export}: {end.Error}{host.Log}");
    }

    internal static string Hash(Chain host, string export) =>
        host.Execute("/bin/bash", "-o", "pipefail", "-c", $"nbdcopy --no-extents '{host.Uri(export)}' - | sha256sum").Good().Output;
}
