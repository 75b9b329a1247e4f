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
        foreach (string peer in (string[])["filed", "cached", "mapperd", "vlmcd"]) _chain.Start(["run", peer, .. Chain.Small]);
        int zombie = _chain.StartUnreaped(["run", "nbd", .. Chain.Small]);
        _chain.Run("volume", "create", "demo", "16M").Good();
        Assert.Equal(5, Processes());

        _chain.KillUnreaped(zombie);
        Assert.True(Directory.Exists($"/proc/{zombie}"), "nobody reaps it");
        Assert.Equal(4, Processes());
        var nbd = _chain.Start(["run", "nbd", .. Chain.Small]);
        Assert.Equal(5, Processes());
        Assert.Equal(1, _chain.Run("volume", "list", "--json").Good().Json.GetProperty("volumes")[0].GetProperty("uris").GetArrayLength());

        _chain.Run("down").Good();
        nbd.WaitForExit();
        Assert.Equal(0, nbd.ExitCode);
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
    }

    [Theory]
    [InlineData(Chain.SigKill)]
    [InlineData(Chain.SigStop)]
    public void While_a_process_that_is_needed_does_not_answer_down_is_refused_in_time_and_nothing_is_stopped(int signal)
    {
        var store = _chain.Start(["run", "filed", "cached", .. Chain.Small]);
        var gateway = _chain.Start(["run", "mapperd", "vlmcd", "nbd", .. Chain.Small]);
        _chain.Run("volume", "create", "demo", "32M").Good();
        _chain.Fio("demo", "--rw=write", "--fsync=64").Good();
        Chain.Signal(store, signal);
        if (signal == Chain.SigKill) store.WaitForExit();

        var down = _chain.Run("down", "--timeout", "3s");
        Assert.Equal(1, down.Code);
        Assert.Contains("nothing was stopped", down.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("stopping the peers", down.Error, StringComparison.Ordinal);
        if (signal == Chain.SigKill) Assert.Matches("(cached|filed)[.]0", down.Error);
        Assert.Equal("running", StateOf(gateway.Id));

        if (signal == Chain.SigStop) Chain.Signal(store, Chain.SigContinue);
        else store = _chain.Start(["run", "filed", "cached", .. Chain.Small]);
        // The same gateway.
        _chain.Fio("demo", "--rw=read", "--verify_only=1").Good();
        _chain.Run("down").Good();
        store.WaitForExit();
        Assert.Equal(0, store.ExitCode);
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
    }

    [Fact]
    public void A_blocker_that_is_dead_below_a_living_cache_refuses_down()
    {
        _chain.Start(["run", "cached", "mapperd", "vlmcd", "nbd", .. Chain.Small]);
        var filed = _chain.Start(["run", "filed", .. Chain.Small]);
        _chain.Run("volume", "create", "demo", "32M").Good();
        Chain.Signal(filed, Chain.SigKill);
        filed.WaitForExit();
        var down = _chain.Run("down");
        Assert.Equal(1, down.Code);
        Assert.Contains("filed.0", down.Error, StringComparison.Ordinal);
        Assert.Contains("archipelago run filed", down.Error, StringComparison.Ordinal);
        _chain.Run("cache", "stats").Good();
        _chain.Start(["run", "filed", .. Chain.Small]);
        _chain.Run("down").Good();
    }

    [Fact]
    public void A_gateway_whose_store_was_never_started_is_stopped_as_a_whole_and_works_with_one_later()
    {
        var gateway = _chain.Start(["run", "mapperd", "vlmcd", "nbd", .. Chain.Small]);
        Assert.Matches("'(cache|blocks)'", _chain.Run("down").Good().Error);
        gateway.WaitForExit();
        Assert.Equal(0, gateway.ExitCode);
        _chain.Start(["run", "mapperd", "vlmcd", "nbd", .. Chain.Small]);
        _chain.Start(["run", "filed", "cached", .. Chain.Small]);
        _chain.Run("volume", "create", "demo", "64M").Good();
        _chain.Fio("demo", "--rw=randrw").Good();
        _chain.Run("down").Good();
    }

    private string? StateOf(int pid) => _chain.Run("status", "--json").Good().Json.GetProperty("processes").EnumerateArray()
        .First(p => p.GetProperty("pid").GetInt32() == pid).GetProperty("report").GetProperty("state").GetString();

    private int Processes() => _chain.Run("status", "--json").Good().Json.GetProperty("processes").GetArrayLength();

    [Fact]
    public void A_peer_whose_store_never_came_ends_with_a_signal_and_with_down_as_nothing_is_dirty()
    {
        var first = _chain.Start("run", "cached");
        Chain.Signal(first, Chain.SigTerm);
        first.WaitForExit();
        Assert.Equal(0, first.ExitCode);
        _chain.WaitForLog("nobody has ever served route 'blocks'");
        var second = _chain.Start("run", "cached");
        _chain.Run("down").Good();
        second.WaitForExit();
    }
}
