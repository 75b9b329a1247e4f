using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>`down` where something of the chain is dead, hung or gone.</summary>
public sealed class DownTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void After_kill_9_down_says_that_nothing_runs_and_what_is_left_and_discard_dirty_removes_it()
    {
        var up = _chain.Start(["up", .. Chain.Small]);
        Chain.Signal(up, Chain.SigKill);
        up.WaitForExit();
        Assert.True(File.Exists(Path.Combine(_chain.State, $"process.{up.Id}")), "a killed process leaves its announcement");

        var down = _chain.Run("down");
        Assert.Equal(1, down.Code);
        Assert.DoesNotContain("Unhandled", down.Error, StringComparison.Ordinal);
        Assert.Contains("nothing runs", down.Error, StringComparison.Ordinal);
        Assert.Contains("0 dirty pages", down.Error, StringComparison.Ordinal);
        Assert.True(Xseg.Memory.Segment.Exists(_chain.Segment));

        _chain.Run("down", "--discard-dirty").Good();
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
        Assert.Equal(1, _chain.Run("down", "--discard-dirty").Code);
    }

    [Fact]
    public void A_dead_process_that_nobody_has_reaped_is_dead()
    {
        foreach (string peer in (string[])["filed", "cached", "vlmcd"]) _chain.Start(["run", peer, .. Chain.Small]);
        int zombie = _chain.StartUnreaped(["run", "nbd", .. Chain.Small]);
        _chain.Run("volume", "create", "demo", "16M").Good();
        Assert.Equal(4, Processes());

        _chain.KillUnreaped(zombie);
        Assert.True(Directory.Exists($"/proc/{zombie}"), "nobody reaps it");
        Assert.Equal(3, Processes());
        var nbd = _chain.Start(["run", "nbd", .. Chain.Small]);
        Assert.Equal(4, Processes());
        Assert.Equal(1, _chain.Run("volume", "list", "--json").Good().Json.GetProperty("volumes")[0].GetProperty("uris").GetArrayLength());

        _chain.Run("down").Good();
        nbd.WaitForExit();
        Assert.Equal(0, nbd.ExitCode);
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
    }

    private int Processes() => _chain.Run("status", "--json").Good().Json.GetProperty("processes").GetArrayLength();
}
