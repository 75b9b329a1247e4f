using Archipelago.Librados.Tests;
using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>A real RADOS on disk, which survives the death of its OSD.</summary>
public sealed class DiskCluster() : DevCluster("bluestore");

/// <summary>The chain on RADOS: start, crashes of the OSD, deadlines.</summary>
public sealed class RadosTests(DiskCluster cluster) : IClassFixture<DiskCluster>, IDisposable
{
    private const string Config = """
        [up]
        first-volume = demo
        first-volume-size = 64M
        [segment]
        spare = 4096
        [radosd]
        ceph-conf = CONF
        pool = archipelago
        namespace = NAMESPACE
        connect-timeout = 3s
        [cached]
        size = 32M
        policy = POLICY
        dirty-age = 500ms
        [mapperd]
        [vlmcd]
        [nbd]
        """;

    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Theory]
    [InlineData("writethrough")]
    [InlineData("writeback")]
    public void An_osd_killed_under_load_and_started_again_is_a_pause_and_no_error(string policy)
    {
        string config = WriteConfig(policy);
        _chain.Start("up", "--config", config);
        string record = Path.Combine(_chain.Root, "record");
        var stamps = _chain.Stamps("write", _chain.Uri("demo"), record, "64");
        stamps.WaitForOutput("acknowledged", 3);
        var fio = _chain.BeginFio("demo", "--rw=randwrite", "--size=4m", "--offset=32m", "--fsync=64");
        stamps.WaitForOutput("acknowledged", stamps.Output.Split("acknowledged").Length);
        cluster.KillOsd();
        cluster.StartOsd();
        stamps.WaitForOutput("acknowledged", stamps.Output.Split("acknowledged").Length + 2);
        var outcome = fio.End();
        Assert.True(outcome.Code == 0, outcome.Output + outcome.Error + _chain.Log);
        var written = stamps.End();
        Assert.True(written.Code == 0 && written.Error.Trim().Length == 0, written.Error);
        _chain.Stamps("check", _chain.Uri("demo"), record).End().Good();
        _chain.Run("down").Good();

        // From RADOS alone.
        _chain.Start("up", "--config", config);
        _chain.Stamps("check", _chain.Uri("demo"), record).End().Good();
        _chain.Fio("demo", "--rw=read", "--size=4m", "--offset=32m", "--verify_only=1").Good();
        _chain.Run("down").Good();
    }

    [Fact]
    public void With_a_deadline_a_dead_osd_is_an_error_within_it_and_all_works_again_when_the_osd_is_back()
    {
        _chain.Start("up", "--config", WriteConfig("writethrough"), "--set", "nbd.deadline=2s");
        // Opening a volume writes to the store, and has no deadline.
        _chain.Run("volume", "open", "demo").Good();
        Assert.Equal(0, Qemu("write -P 1 0 64k", "flush").Code);
        cluster.KillOsd();
        try
        {
            var write = Qemu("write -P 2 1M 64k");
            Assert.Contains("write failed: Input/output error", write.Output + write.Error, StringComparison.Ordinal);
            Assert.Equal(0, Qemu("read -P 1 0 64k").Code);
            // Nothing of it is cached.
            var read = Qemu("read 32M 64k");
            Assert.Contains("read failed: Input/output error", read.Output + read.Error, StringComparison.Ordinal);
            Assert.Equal(0, _chain.Run("status").Code);
        }
        finally
        {
            cluster.StartOsd();
        }

        // The client of RADOS takes its time to find the OSD again.
        _chain.WaitFor(() => Qemu("read -P 0 32M 64k").Code == 0, "reads to work again");
        _chain.WaitFor(() => Qemu("write -P 3 1M 64k").Code == 0, "writes to work again");
        Assert.Equal(0, Qemu("flush", "read -P 3 1M 64k", "read -P 1 0 64k").Code);
        _chain.Run("down").Good();
    }

    [Fact]
    public void An_unreachable_cluster_and_a_missing_pool_are_clear_errors_at_the_start()
    {
        string good = WriteConfig("writethrough");
        var pool = _chain.Run("up", "--config", good, "--set", "radosd.pool=nosuchpool");
        Assert.Equal(1, pool.Code);
        Assert.Contains("nosuchpool", pool.Error, StringComparison.Ordinal);
        Assert.Contains("ENOENT", pool.Error, StringComparison.Ordinal);
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));

        string away = _chain.Write("away.conf", File.ReadAllText(cluster.ConfigFile).Replace($":{cluster.MonitorPort}/", ":9/", StringComparison.Ordinal));
        var unreachable = _chain.Run("up", "--config", good, "--set", $"radosd.ceph-conf={away}");
        Assert.Equal(1, unreachable.Code);
        Assert.Contains("ETIMEDOUT", unreachable.Error, StringComparison.Ordinal);
        Assert.Contains("no monitor answered", unreachable.Error, StringComparison.Ordinal);

        var file = _chain.Run("up", "--config", good, "--set", "radosd.ceph-conf=/nonexistent/ceph.conf");
        Assert.Equal(1, file.Code);
        Assert.Contains("/nonexistent/ceph.conf", file.Error, StringComparison.Ordinal);
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
    }

    private string WriteConfig(string policy) => _chain.Write(
        "rados.conf",
        Config.Replace("CONF", cluster.ConfigFile, StringComparison.Ordinal).Replace("POLICY", policy, StringComparison.Ordinal)
            .Replace("NAMESPACE", Path.GetFileName(_chain.Root), StringComparison.Ordinal));

    private Outcome Qemu(params string[] commands)
    {
        var outcome = _chain.Execute("qemu-io", ["-t", "writeback", "-f", "raw", _chain.Uri("demo"), .. commands.SelectMany(c => (string[])["-c", c])]);
        bool failed = (outcome.Output + outcome.Error).Contains("failed", StringComparison.Ordinal);
        return failed && outcome.Code == 0 ? outcome with { Code = 1 } : outcome;
    }
}
