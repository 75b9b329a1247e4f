using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Archipelago.Xseg.Tables;

namespace Archipelago.Cached.Tests;

/// <summary>Objects that never change again: one copy for all flows, and nobody's stale pages.</summary>
public sealed class SharedTests : IDisposable
{
    private const RequestFlags Shared = RequestFlags.Shared;
    private readonly RecordingBlocker _blocker = new(new MemdPeer(new MemdOptions()));
    private readonly Rig _rig;

    public SharedTests()
    {
        _rig = new Rig(1, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromHours(1) }, blocker: _blocker);
        for (uint flow = 1; flow <= 3; flow++) _rig.SetPolicy(flow, CachePolicy.WriteBack);
    }

    public void Dispose()
    {
        _rig.World.RunFor(TimeSpan.FromMilliseconds(20));
        Conservation.Check(_rig);
        _rig.Dispose();
    }

    private static Hash128 Hash => Hash128.Of("a"u8);

    private uint Images => FlowTable.Find(_rig.ClientProcess.Segment, "images"u8, FlowSpace.Shared);

    private void Below(ulong stamp, int length = 16384) =>
        Assert.Equal(0, _rig.Run(() => _rig.Client.WriteAsync(1, "a", 0, Rig.Fill(length, stamp), route: _rig.Client.Blocks)).Status);

    private void Reads(uint flow, ulong stamp, RequestFlags flags = Shared, bool own = false)
    {
        var reply = _rig.Read(flow, "a", 0, 16384, own, flags);
        Assert.Equal(0, reply.Status);
        Assert.Equal(Rig.Fill(16384, stamp), reply.Data);
    }

    [Fact]
    public void WhatWasRemovedBelowIsToldAsMissingWhateverIsStillCached()
    {
        Below(1);
        Assert.Equal(Rig.Fill(4096, 1), _rig.Read(1, "a", 0, 4096, false, Shared).Data);
        Assert.Equal(0, _rig.Run(() => _rig.Client.IssueAsync(XsegOp.Delete, 1, "a", route: _rig.Client.Blocks)).Status);
        for (int round = 0; round < 2; round++)
        {
            var zeros = _rig.Read(2, "a", 8192, 4096, false, Shared);
            Assert.Equal((0, ReplyFlags.Missing), (zeros.Status, zeros.Flags));
            Assert.Equal(ReplyFlags.Missing, _rig.Read(1, "a", 0, 4096, false, Shared).Flags);
        }
    }

    [Fact]
    public void TwoFlowsShareOneFillAndOneSetOfPages()
    {
        Below(1);
        _blocker.Seen.Clear();
        Reads(1, 1);
        Reads(2, 1);
        Reads(3, 1, own: true);
        Assert.Equal(RequestFlags.Shared, Assert.Single(_blocker.Of(XsegOp.Read)).Flags);
        Assert.Equal(4, _rig.Store.Buckets.Count);
        var of = _rig.Store.Find(Hash)!;
        Assert.Equal(Images, of.Flow.Index);
        Assert.Equal((4L, 0L, 0L), (of.Flow.Pages, _rig.Store.FlowOf(1).Pages, _rig.Store.FlowOf(2).Pages));
        // Who asks is who hits or misses.
        Assert.Equal((1L, 0L, 1L), (_rig.Store.FlowOf(1).Misses, _rig.Store.FlowOf(2).Misses, _rig.Store.FlowOf(2).Hits));
        Assert.Equal((0L, 0L), (of.Flow.Hits, of.Flow.Misses));
    }

    [Fact]
    public void SharedPagesAreFoundAgainAfterAKill()
    {
        Below(1);
        Reads(1, 1);
        _rig.RestartCache();
        _blocker.Seen.Clear();
        Reads(2, 1);
        Assert.Empty(_blocker.Of(XsegOp.Read));
        Assert.DoesNotContain(Fsck.Check(_rig.ClientProcess.Segment).Findings, finding => finding.IsFault);
    }

    [Fact]
    public void AFlowReadsWhatItWroteBeforeItWasFrozen()
    {
        _rig.Write(1, "a", 0, Rig.Fill(16384, 1));
        _blocker.Seen.Clear();
        Reads(1, 1);
        Assert.Empty(_blocker.Seen);
        Assert.Equal(1u, _rig.Store.Find(Hash)!.Flow.Index);
    }

    [Fact]
    public void PagesOfAnotherFlowAreBroughtDownAndNotBelieved()
    {
        _rig.Write(1, "a", 0, Rig.Fill(16384, 1));
        Reads(2, 1);
        Assert.Equal(Images, _rig.Store.Find(Hash)!.Flow.Index);
        // Now stable pages, which are older than what another host has written.
        _rig.Do(XsegOp.Delete, 1, "a");
        Below(2);
        Reads(1, 2, RequestFlags.None);
        Assert.Equal(1u, _rig.Store.Find(Hash)!.Flow.Index);
        Below(3);
        Reads(2, 3);
        Reads(1, 3);
        Assert.Equal(Images, _rig.Store.Find(Hash)!.Flow.Index);
    }

    [Fact]
    public void WhatAnotherFlowHasNotMadeStableIsNotDroppedBeforeItIs()
    {
        var blocker = new RecordingBlocker(new MemdPeer(new MemdOptions { Stable = false }));
        using var rig = new Rig(1, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromHours(1) }, blocker: blocker);
        rig.SetPolicy(1, CachePolicy.WriteBack);
        rig.Write(1, "a", 0, Rig.Fill(16384, 1));
        blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, rig.Read(2, "a", 0, 16384, flags: Shared).Status);
        // As after any FLUSH that failed.
        Assert.Equal((4L, 1u), (rig.Store.DirtyPages, rig.Store.Find(Hash)!.Flow.Index));
        blocker.Fail = null;
        blocker.Seen.Clear();
        Assert.Equal(Rig.Fill(16384, 1), rig.Read(2, "a", 0, 16384, flags: Shared).Data);
        Assert.Equal([XsegOp.Write, XsegOp.Flush, XsegOp.Read], blocker.Seen.Select(seen => seen.Op));
        rig.World.RunFor(TimeSpan.FromMilliseconds(20));
        Conservation.Check(rig);
    }

    [Fact]
    public void AReaderThatDoesNotSayItIsSharedHasItForItself()
    {
        Below(1);
        Reads(1, 1);
        Below(2);
        Reads(2, 2, RequestFlags.None);
        Assert.Equal(2u, _rig.Store.Find(Hash)!.Flow.Index);
        Assert.Equal(4, _rig.Store.Buckets.Count);
        Assert.Equal(0, _rig.Store.FlowOf(Images).Pages);
    }

    [Theory]
    [InlineData(XsegOp.Write)]
    [InlineData(XsegOp.WriteZeroes)]
    [InlineData(XsegOp.Delete)]
    [InlineData(XsegOp.Copy)]
    [InlineData(XsegOp.Truncate)]
    public void WhoChangesItHasItForItself(XsegOp op)
    {
        Below(1);
        _rig.Run(() => _rig.Client.WriteAsync(1, "b", 0, Rig.Fill(16384, 2), route: _rig.Client.Blocks));
        Reads(1, 1);
        // Also where it fails: nothing of what is shared is ever dirty.
        _blocker.Fail = request => request.Op == op ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, Change(op).Status);
        Assert.Equal((0L, 0L), (_rig.Store.DirtyPages, _rig.Store.FlowOf(Images).Pages));
        _blocker.Fail = null;
        Reads(2, 1);
        Assert.Equal(0, Change(op).Status);
        Assert.Equal(0L, _rig.Store.DirtyPages);
        Reads(1, op switch { XsegOp.Write => 3, XsegOp.Copy => 2, _ => 0 });
    }

    private Reply Change(XsegOp op) =>
        op == XsegOp.Write ? _rig.Write(3, "a", 0, Rig.Fill(16384, 3)) : _rig.Do(op, 3, "a", 0, op == XsegOp.Truncate ? 0 : 16384ul, source: op == XsegOp.Copy ? "b" : null);

    [Fact]
    public void ThePolicyIsTheSharedFlowsAndNotTheReaders()
    {
        Below(1);
        _rig.SetPolicy(1, CachePolicy.Off);
        Reads(1, 1);
        Assert.Equal(4, _rig.Store.Buckets.Count);
        _blocker.Seen.Clear();
        Reads(1, 1);
        Reads(2, 1);
        Assert.Empty(_blocker.Seen);
        _rig.Do(XsegOp.Delete, 2, "a");
        Below(2);
        _rig.SetPolicy(Images, CachePolicy.Off);
        Reads(2, 2);
        Assert.Equal(0, _rig.Store.Buckets.Count);
    }

    [Fact]
    public void AWriteOfTheSharedFlowItselfIsNotKept()
    {
        Below(1);
        Reads(1, 1);
        Assert.Equal(0, _rig.Write(Images, "a", 0, Rig.Fill(16384, 2)).Status);
        Assert.Equal(0, _rig.Store.DirtyPages);
        Reads(1, 2);
    }

    [Fact]
    public void WhereTheFlowTableIsFullSharedObjectsAreReadAroundTheCache()
    {
        using var rig = new Rig(flows: 4);
        rig.Run(() => rig.Client.WriteAsync(1, "a", 0, Rig.Fill(4096, 1), route: rig.Client.Blocks));
        for (int i = 0; i < 3; i++) Assert.Equal(Rig.Fill(4096, 1), rig.Read(1, "a", 0, 4096, flags: Shared).Data);
        Assert.Equal(0, rig.Store.Buckets.Count);
    }

    [Fact]
    public void WhatIsLostOfAnotherFlowIsNotReadAround()
    {
        _rig.Write(1, "a", 0, Rig.Fill(16384, 1));
        Tamper(_rig.Store.Buckets.Find(_rig.Store.Find(Hash)!.Entry, 1, false));
        Assert.Equal(XsegErrno.EIO, _rig.Read(2, "a", 0, 16384, flags: Shared).Status);
        Assert.Equal(1u, _rig.Store.Find(Hash)!.Flow.Index);
        Assert.Equal(Rig.Fill(4096, 1), _rig.Read(2, "a", 0, 4096, flags: Shared).Data);
        Assert.Equal(0, _rig.Do(XsegOp.Delete, 1, "a").Status);
    }

    private unsafe void Tamper(uint page) => _rig.ClientProcess.Segment.PageAt(page)->Masks |= 0x0100_0000;

    [Fact]
    public void InfoOfASharedObjectCountsWhatAnotherFlowHasOnlyHere()
    {
        _rig.Write(1, "a", 0, Rig.Fill(16384, 1));
        Assert.Equal(16384u, _rig.Do(XsegOp.Info, 2, "a", flags: Shared).Serviced);
    }
}
