using System.Diagnostics;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Conformance.Tests.Blockers;

/// <summary>What only memd can do: faults, delays, power failures.</summary>
public sealed class MemdTests
{
    private static readonly byte[] Page = [.. Enumerable.Range(0, 4096).Select(i => (byte)(i | 1))];

    private static BlockerHarness Start(MemdOptions options) => BlockerHarness.Start(() => new MemdPeer(options));

    private static void Change(BlockerHarness harness, Func<MemdOptions, MemdOptions> change)
    {
        var memd = (MemdPeer)harness.Blocker;
        HostThread.Wait(Task.Run(async () =>
        {
            await memd.ChangeAsync(change(memd.Options));
            return true;
        }));
    }

    [Fact]
    public void A_full_store_refuses_writes_and_changes_nothing()
    {
        using var blocker = Start(new MemdOptions { Capacity = 4 * 4096 });
        blocker.Write("a", 0, [.. Page, .. Page, .. Page]);
        Assert.Equal(XsegErrno.ENOSPC, blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name("b"), 0, 8192) { Payload = [.. Page, .. Page] }).Status);
        Assert.Null(blocker.Info("b"));
        // Overwriting needs no room, and what is deleted or discarded makes some.
        blocker.Write("a", 4096, Page);
        blocker.Good(XsegOp.Discard, "a", 0, 8192);
        blocker.Write("b", 0, [.. Page, .. Page]);
        Assert.Equal(XsegErrno.ENOSPC, blocker.Do(new Ask(XsegOp.Copy, BlockerHarness.Name("c"), 0, 8192) { Source = BlockerHarness.Name("b") }).Status);
        blocker.Good(XsegOp.Delete, "a");
        blocker.Good(new Ask(XsegOp.Copy, BlockerHarness.Name("c"), 0, 8192) { Source = BlockerHarness.Name("b") });
    }

    [Fact]
    public void Requests_that_a_rule_names_fail_as_often_as_it_says_and_have_no_effect()
    {
        using var blocker = Start(new MemdOptions { Rules = [MemdRule.Parse("write:EIO:x2"), MemdRule.Parse("read:ENOSPC:0"), MemdRule.Parse("flush:ETIMEDOUT")] });
        var write = new Ask(XsegOp.Write, BlockerHarness.Name("a"), 0, 4096) { Payload = Page };
        Assert.Equal(XsegErrno.EIO, blocker.Do(write).Status);
        Assert.Equal(XsegErrno.EIO, blocker.Do(write).Status);
        Assert.Null(blocker.Info("a"));
        Assert.Equal(0, blocker.Do(write).Status);
        Assert.Equal(Page, blocker.Read("a", 0, 4096).Data);
        Assert.Equal(XsegErrno.ETIMEDOUT, blocker.Status(XsegOp.Flush, ""));
        Change(blocker, options => options with { Rules = [new MemdRule(null, XsegErrno.EIO)] });
        Assert.Equal(XsegErrno.EIO, blocker.Status(XsegOp.Ping, ""));
        Change(blocker, options => options with { Rules = [] });
        Assert.Equal(0, blocker.Status(XsegOp.Flush, ""));
    }

    [Fact]
    public void A_share_of_the_requests_fails()
    {
        using var blocker = Start(new MemdOptions { Rules = [MemdRule.Parse("ping:EIO:0.5")] });
        int failed = HostThread.Wait(blocker.Issue([.. Enumerable.Repeat(new Ask(XsegOp.Ping, []), 200)])).Count(reply => reply.Status != 0);
        // The seed is fixed: this never varies.
        Assert.InRange(failed, 60, 140);
    }

    [Theory]
    [InlineData("write")]
    [InlineData("write:EWRONG")]
    [InlineData("scribble:EIO")]
    [InlineData("write:EIO:2")]
    [InlineData("write:EIO:x0")]
    [InlineData("write:EIO:1:1")]
    public void A_rule_that_is_no_rule_is_refused(string text)
    {
        Assert.Equal(Errno.EINVAL, Assert.Throws<ErrnoException>(() => MemdRule.Parse(text)).Errno);
    }

    [Fact]
    public void A_rule_is_written_as_it_is_read()
    {
        foreach (string text in (string[])["write:EIO:0.25", "any:ENOSPC:1", "writezeroes:EIO:x3"]) Assert.Equal(text, MemdRule.Parse(text).ToString());
        Assert.Equal(XsegOp.WriteZeroes, MemdRule.Parse("write_zeroes:EIO").Op);
    }

    [Fact]
    public void A_hanging_request_has_no_effect_until_it_is_released()
    {
        using var blocker = Start(new MemdOptions { Hang = true });
        var memd = (MemdPeer)blocker.Blocker;
        var hanging = blocker.Issue(new Ask(XsegOp.Write, BlockerHarness.Name("a"), 0, 4096) { Payload = Page });
        for (int held = 0; held == 0;) blocker.OnBlocker(() => held = memd.Held);
        Assert.False(hanging.IsCompleted);
        Change(blocker, options => options with { Hang = false });
        Assert.Equal(0, HostThread.Wait(hanging).Status);
        Assert.Equal(Page, blocker.Read("a", 0, 4096).Data);
    }

    [Fact]
    public void Latency_and_bandwidth_are_the_least_that_a_request_takes()
    {
        using var blocker = Start(new MemdOptions { Latency = TimeSpan.FromMilliseconds(20), Jitter = TimeSpan.FromMilliseconds(1) });
        var clock = Stopwatch.StartNew();
        blocker.Status(XsegOp.Ping, "");
        Assert.True(clock.Elapsed >= TimeSpan.FromMilliseconds(20));
        // 64 KiB through 1 MiB/s, in four requests at once: one after another.
        Change(blocker, options => options with { Latency = TimeSpan.Zero, Bandwidth = 1 << 20 });
        clock.Restart();
        HostThread.Wait(blocker.Issue([.. Enumerable.Range(0, 4).Select(i => new Ask(XsegOp.Read, BlockerHarness.Name("a"), (ulong)i * 16384, 16384))]));
        Assert.True(clock.Elapsed >= TimeSpan.FromMilliseconds(60), $"{clock.Elapsed}");
    }

    [Fact]
    public void No_more_requests_than_allowed_are_worked_on_at_once()
    {
        using var blocker = Start(new MemdOptions { Concurrency = 2, Latency = TimeSpan.FromMilliseconds(5) });
        var clock = Stopwatch.StartNew();
        var replies = HostThread.Wait(blocker.Issue([.. Enumerable.Repeat(new Ask(XsegOp.Ping, []), 10)]));
        Assert.All(replies, reply => Assert.Equal(0, reply.Status));
        Assert.True(clock.Elapsed >= TimeSpan.FromMilliseconds(25), $"{clock.Elapsed}");
    }

    [Fact]
    public void A_power_failure_takes_what_was_not_flushed_and_nothing_else()
    {
        using var blocker = Start(new MemdOptions { Volatile = true });
        byte[] other = [.. Page.Select(b => (byte)~b)];
        Assert.Equal(ReplyFlags.None, blocker.Write("kept", 0, [.. Page, .. Page]).Flags);
        blocker.Write("deleted", 0, Page);
        blocker.Write("other flow", 0, Page, flow: 2);
        blocker.Good(XsegOp.Flush, "", flow: 1);
        blocker.Write("kept", 4096, other);
        blocker.Write("kept", 20_000, other);
        blocker.Good(XsegOp.Delete, "deleted");
        blocker.Write("new", 0, Page);
        blocker.Write("fua", 0, Page, RequestFlags.ForceUnitAccess);
        blocker.OnBlocker(((MemdPeer)blocker.Blocker).Crash);

        Assert.Equal(8192ul, blocker.Info("kept"));
        Assert.Equal([.. Page, .. Page], blocker.Read("kept", 0, 8192).Data);
        Assert.Equal(Page, blocker.Read("deleted", 0, 4096).Data);
        Assert.Equal(Page, blocker.Read("fua", 0, 4096).Data);
        Assert.Null(blocker.Info("new"));
        Assert.Null(blocker.Info("other flow"));
        blocker.OnBlocker(((MemdPeer)blocker.Blocker).Crash);
        Assert.Equal([.. Page, .. Page], blocker.Read("kept", 0, 8192).Data);
    }

    [Theory]
    [InlineData(XsegOp.Discard)]
    [InlineData(XsegOp.WriteZeroes)]
    public void Zeros_that_were_forced_stay_where_the_object_was_deleted_and_that_was_not_flushed(XsegOp op)
    {
        using var blocker = Start(new MemdOptions { Volatile = true });
        blocker.Write("object", 0, Page, RequestFlags.ForceUnitAccess);
        blocker.Good(XsegOp.Delete, "object");
        blocker.Good(op, "object", 0, 4096, RequestFlags.ForceUnitAccess);
        blocker.OnBlocker(((MemdPeer)blocker.Blocker).Crash);
        Assert.Equal(new byte[4096], blocker.Read("object", 0, 4096).Data);
    }

    [Fact]
    public void Ping_read_and_write_allocate_nothing()
    {
        using var harness = new HotPath();
        harness.Round(2000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        harness.Round(20_000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    /// <summary>memd called on this thread, without a loop: what is not answered at once never is.</summary>
    private sealed class HotPath : IDisposable
    {
        private readonly string _directory = $"/dev/shm/archipelago-test-{Guid.NewGuid():N}";
        private readonly Segment _segment;
        private readonly Reactor _reactor = new(new ReactorOptions());
        private readonly MemdPeer _memd = new(new MemdOptions());
        private readonly Port _client;
        private readonly byte[] _name = BlockerHarness.Name("hot");

        internal HotPath()
        {
            _segment = Segment.Create(_directory, new SegmentOptions { Ports = 4, SlotsPerPort = 64, Pages = 512, Prefault = false });
            var host = new PeerHost(_reactor, _segment, NullLoggerFactory.Instance);
            Assert.True(host.StartAsync(new PeerPlan { Name = "memd", Peer = _memd, Serves = "blocks", Pages = 64 }).IsCompletedSuccessfully);
            _client = Port.Bind(_segment, new PortOptions { Name = "client", Pages = 64 });
        }

        internal void Round(int count)
        {
            var hash = Hash128.Of(_name);
            for (int i = 0; i < count; i++)
            {
                ulong offset = (ulong)(i % 100) * 4096;
                Issue(XsegOp.Write, hash, offset);
                Issue(XsegOp.Read, hash, offset);
                Issue(XsegOp.Ping, hash, 0);
            }
        }

        private void Issue(XsegOp op, Hash128 hash, ulong offset)
        {
            if (!_client.TryAllocate(out var request)) throw new InvalidOperationException("no slot");
            _client.Prepare(request, op, 1, _name, hash, offset, 4096);
            if (op != XsegOp.Ping && !_client.TryAttachPages(request, op == XsegOp.Write)) throw new InvalidOperationException("no page");
            var outcome = _memd.HandleAsync(request);
            if (!outcome.IsCompleted || outcome.Result != 0) throw new InvalidOperationException($"{op} was not answered at once");
            _client.Free(request);
        }

        public void Dispose()
        {
            _memd.Dispose();
            _segment.Dispose();
            _reactor.Dispose();
            Directory.Delete(_directory, recursive: true);
        }
    }
}
