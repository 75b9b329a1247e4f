using Archipelago.Memd;
using Archipelago.Runtime.Control;
using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>The store is slow, fails, is full or hangs, as memd is told over the control plane; seen from an NBD client.</summary>
public sealed class FaultTests : IDisposable
{
    private const string Config = """
        [up]
        first-volume = demo
        first-volume-size = 64M
        [segment]
        spare = 2048
        [memd]
        [cached]
        size = 16M
        policy = POLICY
        dirty-age = 100ms
        [mapperd]
        [vlmcd]
        [nbd]
        """;

    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Theory]
    [InlineData("write:EIO", "Input/output error")]
    [InlineData("write:ENOSPC", "No space left on device")]
    public void In_write_through_the_client_gets_the_stores_error_and_what_was_there_stays(string fault, string words)
    {
        Up("writethrough");
        Assert.Equal(0, Qemu("write -P 1 0 64k", "flush").Code);
        Set(new MemdSettings(Errors: [fault]));
        var failed = Qemu("write -P 2 1M 64k");
        Assert.Contains($"write failed: {words}", failed.Output + failed.Error, StringComparison.Ordinal);
        AssertReads("read -P 1 0 64k");
        Set(new MemdSettings());
        Assert.Equal(0, Qemu("write -P 3 1M 64k", "flush").Code);
        AssertReads("read -P 1 0 64k", "read -P 3 1M 64k");
        End();
    }

    [Theory]
    [InlineData("write:EIO", "Input/output error")]
    [InlineData("write:ENOSPC", "No space left on device")]
    public void In_write_back_what_was_acknowledged_outlives_the_stores_errors_and_a_flush_reports_them(string fault, string words)
    {
        Up("writeback");
        var client = Interactive();
        client.Type("write -P 1 0 64k");
        client.Type("flush");
        client.Type("read -P 1 0 64k");
        client.WaitForOutput("read 65536/65536");
        Set(new MemdSettings(Errors: [fault]));
        client.Type("write -P 2 1M 64k");
        client.WaitForOutput("wrote 65536/65536", 2);
        // qemu-io says nothing if a flush fails.
        var flush = _chain.Execute("/usr/bin/python3", "-c", "import sys, nbd; h = nbd.NBD(); h.connect_uri(sys.argv[1]); h.flush()", _chain.Uri("demo"));
        Assert.NotEqual(0, flush.Code);
        Assert.Contains(words, flush.Error, StringComparison.Ordinal);
        client.Type("read -P 2 1M 64k");
        client.WaitForOutput("read 65536/65536", 2);
        Assert.True(DirtyPages() >= 16, "the data stays in the cache");

        Set(new MemdSettings());
        _chain.WaitFor(() => DirtyPages() == 0, "the data to reach the store by itself");
        client.Type("write -P 4 2M 64k");
        client.Type("flush");
        client.Type("read -P 2 1M 64k");
        client.WaitForOutput("read 65536/65536", 3);
        client.End();
        AssertReads("read -P 1 0 64k", "read -P 2 1M 64k", "read -P 4 2M 64k");
        End();
    }

    [Theory]
    [InlineData("writethrough")]
    [InlineData("writeback")]
    public void A_store_that_hangs_makes_clients_wait_and_nothing_is_lost_when_it_goes_on(string policy)
    {
        Up(policy);
        var client = Interactive();
        client.Type("write -P 1 0 64k");
        client.Type("flush");
        client.Type("read -P 1 0 64k");
        client.WaitForOutput("read 65536/65536");
        Set(new MemdSettings(Hang: true));
        // qemu-io does not flush its standard output when an aio_write ends, only at the next prompt.
        client.Type(policy == "writeback" ? "write -P 2 1M 64k" : "aio_write -P 2 1M 64k");
        client.Type("read -P 1 0 64k");
        client.WaitForOutput("read 65536/65536", 2);
        client.Type("flush");
        client.Type("read -P 2 1M 64k");
        // Not timing but order: the status is asked for and answered while the flush waits.
        Assert.True(_chain.Run("status", "--json").Good().Json.GetProperty("running").GetBoolean());
        Assert.Equal(2, client.Output.Split("read 65536/65536").Length - 1);

        Set(new MemdSettings());
        client.WaitForOutput("read 65536/65536", 3);
        client.WaitForOutput("wrote 65536/65536", 2);
        Assert.DoesNotContain("failed", client.Output + client.Error, StringComparison.Ordinal);
        client.End();
        AssertReads("read -P 1 0 64k", "read -P 2 1M 64k");
        End();
    }

    [Fact]
    public void With_a_deadline_a_store_that_hangs_is_an_error_and_no_hang()
    {
        Up("writethrough", "--set", "nbd.deadline=1s");
        Assert.Equal(0, Qemu("write -P 1 0 64k").Code);
        Set(new MemdSettings(Hang: true));
        var failed = Qemu("write -P 2 1M 64k");
        Assert.Contains("write failed: Input/output error", failed.Output + failed.Error, StringComparison.Ordinal);
        Set(new MemdSettings());
        AssertReads("read -P 1 0 64k");
        Assert.Equal(0, Qemu("write -P 3 1M 64k").Code);
        AssertReads("read -P 3 1M 64k");
        End();
    }

    [Theory]
    [InlineData("writethrough")]
    [InlineData("writeback")]
    public void A_slow_store_that_fails_now_and_then_is_only_slow_in_write_back_and_fails_those_writes_in_write_through(string policy)
    {
        Up(policy);
        Set(new MemdSettings(LatencyMicroseconds: 2000, JitterMicroseconds: 2000));
        var load = _chain.Fio("demo", "--rw=randwrite", "--size=4m", "--fsync=64");
        Assert.True(load.Code == 0, load.Output + load.Error);
        var faults = new MemdSettings(LatencyMicroseconds: 500, Errors: ["write:EIO:x3"]);
        if (policy == "writethrough")
        {
            Set(faults);
            var failed = Qemu("write -P 2 8M 4k");
            Assert.Contains("write failed: Input/output error", failed.Output + failed.Error, StringComparison.Ordinal);
        }
        else
        {
            var client = Interactive();
            // qemu passes on a flush only if it has written.
            client.Type("write -P 1 9M 4k");
            client.Type("flush");
            client.Type("read -P 1 9M 4k");
            client.WaitForOutput("read 4096/4096");
            Set(faults);
            client.Type("write -P 2 8M 4k");
            client.WaitForOutput("wrote 4096/4096", 2);
            _chain.WaitFor(() => DirtyPages() == 0, "the data to reach the store after its errors");
            client.End();
            AssertReads("read -P 2 8M 4k");
        }

        Set(new MemdSettings());
        _chain.Fio("demo", "--rw=read", "--size=4m", "--verify_only=1").Good();
        End();
    }

    private void Up(string policy, params string[] more)
    {
        _chain.Start(["up", "--config", _chain.Write("c.conf", Config.Replace("POLICY", policy, StringComparison.Ordinal)), .. more]);
        // Opening a volume writes to the store: that is not what is to fail.
        _chain.Run("volume", "open", "demo").Good();
    }

    private void End() => _chain.Run("down").Good();

    private void Set(MemdSettings settings)
    {
        using var client = new ControlClient(Path.Combine(_chain.State, "control.sock"));
        client.PutAsync("/v1/peers/memd/memd", settings, MemdJson.Default.MemdSettings, MemdJson.Default.MemdSettings).GetAwaiter().GetResult();
    }

    private long DirtyPages() => _chain.Run("segment", "info", "--json").Good().Json.GetProperty("dirtyPages").GetInt64();

    // qemu-io asks for FUA with each write unless it is told -t writeback. Without stdbuf it would read several lines, do the first, and wait for more input before it does the others.
    private Background Interactive() => _chain.Begin("stdbuf", "-i0", "qemu-io", "-t", "writeback", "-f", "raw", _chain.Uri("demo"));

    private Outcome Qemu(params string[] commands) =>
        _chain.Execute("qemu-io", ["-t", "writeback", "-f", "raw", _chain.Uri("demo"), .. commands.SelectMany(c => (string[])["-c", c])]);

    private void AssertReads(params string[] commands)
    {
        var outcome = Qemu(commands);
        Assert.True(outcome.Code == 0 && !(outcome.Output + outcome.Error).Contains("failed", StringComparison.Ordinal), outcome.Output + outcome.Error);
    }
}
