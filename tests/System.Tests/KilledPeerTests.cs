using System.Diagnostics;
using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Every peer in a process of its own: one after the other is killed under load and started again by hand.</summary>
public sealed class KilledPeerTests : IDisposable
{
    private readonly Chain _chain = new();
    private readonly Dictionary<string, Process> _peers = [];

    public void Dispose() => _chain.Dispose();

    [Theory]
    [InlineData("writethrough", "vlmcd", "cached", "filed")]
    [InlineData("writeback", "cached", "filed", "vlmcd", "cached")]
    public void A_peer_killed_under_load_and_started_again_is_a_pause_and_no_error(string policy, params string[] victims)
    {
        string config = _chain.Write("c.conf", Chain.Separate.Replace("POLICY", policy, StringComparison.Ordinal));
        foreach (string peer in (string[])["filed", "cached", "mapperd", "vlmcd", "nbd"]) StartPeer(peer, config);
        _chain.Run("volume", "create", "demo", "64M").Good();

        var fio = BeginLoad();
        foreach (string victim in victims)
        {
            // So that each is killed under load, however long the tests before took.
            if (fio.HasExited)
            {
                fio.End().Good();
                fio = BeginLoad();
            }

            _chain.WaitForRequests(300);
            Chain.KillHard(_peers[victim]);
            Assert.Equal("dead", _chain.PortState(victim + ".0"));
            StartPeer(victim, config);
        }

        var outcome = fio.End();
        Assert.True(outcome.Code == 0, outcome.Output + outcome.Error + _chain.Log);
        // All of it once more, from what the store has.
        _chain.Run("down").Good();
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
        _chain.Start("up", "--config", config);
        _chain.Fio("demo", "--rw=read", "--size=16m", "--verify_only=1").Good();
        _chain.Run("down").Good();
    }

    [Fact]
    public void What_was_acknowledged_in_write_back_is_there_after_cached_was_killed_and_it_restarts_warm()
    {
        string config = _chain.Write("c.conf", Chain.Separate.Replace("POLICY", "writeback", StringComparison.Ordinal).Replace("dirty-age = 1s", "dirty-age = 1h", StringComparison.Ordinal));
        foreach (string peer in (string[])["filed", "cached", "mapperd", "vlmcd", "nbd"]) StartPeer(peer, config);
        _chain.Run("volume", "create", "demo", "64M").Good();
        _chain.Run("cache", "flush").Good();

        string record = Path.Combine(_chain.Root, "record");
        var stamps = _chain.Stamps("write", _chain.Uri("demo"), record, "1000000");
        stamps.WaitForOutput("acknowledged", 4);
        long dirty = 0;
        // The writer flushes now and then: any moment between two flushes will do.
        _chain.WaitFor(() => (dirty = _chain.Run("segment", "info", "--json").Good().Json.GetProperty("dirtyPages").GetInt64()) > 50, "dirty pages: this is meant to be write-back");
        Chain.KillHard(_peers["cached"]);
        StartPeer("cached", config);
        Assert.True(_chain.Run("cache", "stats", "--json").Good().Json.GetProperty("cachedBytes").GetInt64() >= dirty * 4096 / 2, "it restarts warm: what was dirty is in the cache (the count was taken under writes, and may have met a bucket twice)");
        stamps.WaitForOutput("acknowledged", stamps.Output.Split("acknowledged").Length + 3);
        var written = stamps.End();
        Assert.True(written.Code == 0 && written.Error.Trim().Length == 0, written.Error);
        _chain.Stamps("check", _chain.Uri("demo"), record).End().Good();
        _chain.Run("down").Good();
        _chain.Start("up", "--config", config);
        _chain.Stamps("check", _chain.Uri("demo"), record).End().Good();
    }

    // 4096 writes, then as many reads that verify them; with a pause in between so that it lasts for some seconds.
    private Background BeginLoad() => _chain.BeginFio(
        "demo", "--rw=randwrite", "--size=16m", "--fsync=64", "--thinktime=4ms", "--thinktime_blocks=8", "--thinktime_blocks_type=issue");

    private void StartPeer(string peer, string config) => _peers[peer] = _chain.Start("run", peer, "--config", config);
}
