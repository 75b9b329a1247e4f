using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>The chain over several processes, and ends that are not in order.</summary>
public sealed class SplitTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void The_chain_runs_over_two_processes_and_a_stopped_one_shows_as_hung()
    {
        var store = _chain.Start(["run", "filed", "cached", .. Chain.Small]);
        var gateway = _chain.Start(["run", "mapperd", "vlmcd", "nbd", .. Chain.Small]);
        _chain.Run("volume", "create", "demo", "32M").Good();
        _chain.Fio("demo", "--rw=randrw").Good();
        Assert.Equal(1, _chain.Run("up").Code);
        Assert.Equal(2, _chain.Run("status", "--json").Good().Json.GetProperty("processes").GetArrayLength());

        Chain.Signal(store, Chain.SigStop);
        _chain.WaitFor(() => StateOf("cached.0") == "hung", "a stopped peer to be reported");
        Assert.Equal("alive", StateOf("vlmcd.0"));
        Chain.Signal(store, Chain.SigContinue);
        _chain.WaitFor(() => StateOf("cached.0") == "alive", "a continued peer to be reported");

        Chain.Signal(gateway, Chain.SigKill);
        gateway.WaitForExit();
        Assert.Equal("dead", StateOf("vlmcd.0"));
        _chain.Start(["run", "mapperd", "vlmcd", "nbd", .. Chain.Small]);
        _chain.Fio("demo", "--rw=randrw").Good();

        _chain.Run("down").Good();
        store.WaitForExit();
        Assert.Equal(0, store.ExitCode);
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
    }

    [Fact]
    public void Down_is_refused_while_the_store_fails_and_discard_dirty_ends_it()
    {
        string config = _chain.Write("c.conf", "[memd]\nerrors = write:EIO\nstable = no\n[cached]\nsize = 16M\n[segment]\nspare = 2048\n");
        var up = _chain.Start("up", "--config", config);
        // The last FLUSH of the bench fails; what it wrote stays dirty.
        var bench = _chain.Run("bench", "--op", "write", "--objects", "1", "--total", "64k", "--depth", "16");
        Assert.Equal(1, bench.Code);
        var down = _chain.Run("down", "--timeout", "5s");
        Assert.Equal(1, down.Code);
        Assert.Contains("--discard-dirty", down.Error, StringComparison.Ordinal);
        Assert.False(up.HasExited);
        _chain.Run("down", "--discard-dirty").Good();
        up.WaitForExit();
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
    }

    [Fact]
    public void A_kept_segment_is_taken_up_by_the_next_start_or_destroyed_by_name()
    {
        _chain.Start(["up", .. Chain.Small]);
        Assert.Equal(1, _chain.Run("segment", "destroy").Code);
        _chain.Run("down", "--keep-segment").Good();
        Assert.True(Xseg.Memory.Segment.Exists(_chain.Segment));
        _chain.Start(["up", .. Chain.Small]);
        _chain.Fio("demo", "--rw=randrw").Good();
        _chain.Run("down", "--keep-segment").Good();
        _chain.Run("segment", "destroy").Good();
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
    }

    [Fact]
    public void A_process_that_does_not_answer_is_named_and_not_waited_for()
    {
        var up = _chain.Start(["up", .. Chain.Small]);
        var nowhere = _chain.Run("volume", "list", "--socket", "/nonexist.sock");
        Assert.Equal(1, nowhere.Code);
        Assert.Contains("/nonexist.sock", nowhere.Error, StringComparison.Ordinal);

        Chain.Signal(up, Chain.SigStop);
        foreach (string command in new[] { "cache stats", "volume list", "cache flush" })
        {
            var hung = _chain.Run(command.Split(' '));
            Assert.Equal(1, hung.Code);
            Assert.Contains("ETIMEDOUT", hung.Error, StringComparison.Ordinal);
            Assert.Contains($"process {up.Id} ", hung.Error, StringComparison.Ordinal);
        }

        Chain.Signal(up, Chain.SigContinue);
        _chain.Run("cache", "stats").Good();
        _chain.Run("down").Good();
    }

    private string? StateOf(string port) =>
        _chain.Run("segment", "ports", "--json").Good().Json.EnumerateArray().First(p => p.GetProperty("name").GetString() == port).GetProperty("state").GetString();
}
