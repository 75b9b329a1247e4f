using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Cached.Tests;

/// <summary>INVALIDATE: another host owned the volume meanwhile, and nothing of what is here is true any more.</summary>
public sealed unsafe class InvalidateTests : IDisposable
{
    private readonly RecordingBlocker _blocker = new(new MemdPeer(new MemdOptions { Stable = false }));
    private readonly Rig _rig;

    public InvalidateTests()
    {
        _rig = new Rig(1, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromHours(1) }, blocker: _blocker);
        for (uint flow = 1; flow <= 3; flow++) _rig.SetPolicy(flow, CachePolicy.WriteBack);
    }

    public void Dispose() => _rig.Dispose();

    private FlowEntry* Flow => _rig.ClientProcess.Segment.FlowAt(1);

    private void Below(string name, ulong stamp, int length = 8192) =>
        Assert.Equal(0, _rig.Run(() => _rig.Client.WriteAsync(1, name, 0, Rig.Fill(length, stamp), route: _rig.Client.Blocks)).Status);

    private void Invalidate()
    {
        Assert.Equal(0, _rig.Do(XsegOp.Invalidate, 1, "").Status);
        var below = Assert.Single(_blocker.Of(XsegOp.Invalidate));
        Assert.Equal((1u, ""), (below.Flow, below.Name));
        Assert.Equal((0L, 0L), (_rig.Store.FlowOf(1).Pages, _rig.Store.FlowOf(1).LostPages));
        _rig.World.RunFor(TimeSpan.FromMilliseconds(100));
        Conservation.Check(_rig);
    }

    [Fact]
    public void AllPagesOfTheFlowAreDroppedDirtyOnesTooAndOthersStay()
    {
        Below("stable", 1);
        _rig.Read(1, "stable", 0, 8192);
        _rig.Write(1, "dirty", 0, Rig.Fill(8192, 2));
        _rig.Write(2, "other", 0, Rig.Fill(8192, 3));
        _rig.Do(XsegOp.Flush, 1, "");
        _rig.Write(1, "dirty", 4096, Rig.Fill(4096, 4));
        Below("stable", 5);
        Invalidate();
        Assert.Equal(4096, _rig.Cached.Figures.InvalidatedDirtyBytes);
        Assert.Equal(Rig.Fill(8192, 5), _rig.Read(1, "stable", 0, 8192).Data);
        Assert.Equal(Rig.Fill(8192, 2), _rig.Read(1, "dirty", 0, 8192).Data);
        Assert.Equal(2, _rig.Store.FlowOf(2).DirtyPages);
        Assert.Equal(Rig.Fill(8192, 3), _rig.Read(2, "other", 0, 8192).Data);
        Assert.Equal(1, Flow->HasFlushed);
    }

    [Fact]
    public void AFillThatRunsIsAnsweredAndNotKept()
    {
        Below("a", 1);
        _blocker.Hold = request => request.Op == XsegOp.Read;
        var read = _rig.Start(() => _rig.Client.ReadAsync(1, "a", 0, 8192));
        _rig.World.RunUntil(() => _blocker.Held == 1, "fill");
        _blocker.Hold = null;
        Assert.Equal(0, _rig.Do(XsegOp.Invalidate, 1, "").Status);
        _blocker.Release();
        _rig.World.RunUntil(() => read.IsCompleted, "read");
        Below("a", 2);
        // The read was answered by another fill than the one that ran.
        Assert.Equal(2, _blocker.Of(XsegOp.Read).Count());
        Assert.Equal(0, _rig.Do(XsegOp.Invalidate, 1, "").Status);
        Assert.Equal(Rig.Fill(8192, 2), _rig.Read(1, "a", 0, 8192).Data);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(XsegErrno.ESTALE)]
    public void APassThatRunsIsWaitedForAndItsOutcomeIsNobodysMatter(int outcome)
    {
        _rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        _blocker.Hold = request => request.Op == XsegOp.Write;
        var flush = _rig.Start(() => _rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        _rig.World.RunUntil(() => _blocker.Held == 1, "pass");
        _rig.Write(1, "a", 0, Rig.Fill(4096, 2));
        _rig.Write(1, "b", 0, Rig.Fill(4096, 3));
        var invalidate = _rig.Start(() => _rig.Client.IssueAsync(XsegOp.Invalidate, 1, ""));
        _rig.World.RunFor(TimeSpan.FromSeconds(1));
        Assert.False(invalidate.IsCompleted);
        _blocker.Hold = null;
        _blocker.Fail = request => request.Op == XsegOp.Write ? outcome : 0;
        _blocker.Release();
        _rig.World.RunUntil(() => invalidate.IsCompleted && flush.IsCompleted, "the end");
        Assert.Equal(0, invalidate.Result.Status);
        _blocker.Fail = null;
        Assert.Single(_blocker.Of(XsegOp.Write));
        Assert.Equal((0L, 0L, 0), (_rig.Store.DirtyPages, _rig.Store.FlowOf(1).Pages, (int)Flow->Degraded));
        _rig.World.RunFor(TimeSpan.FromSeconds(10));
        Assert.Single(_blocker.Of(XsegOp.Write));
        Assert.Equal(0, _rig.Do(XsegOp.Flush, 1, "").Status);
        Conservation.Check(_rig);
    }

    [Fact]
    public void WhatFailedBeforeIsForgotten()
    {
        _blocker.Fail = request => request.Op is XsegOp.Write or XsegOp.Flush ? XsegErrno.ENOSPC : 0;
        _rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        Assert.Equal(0, _rig.Do(XsegOp.Discard, 1, "b", 0, 4096).Status);
        Assert.NotEqual(0, _rig.Do(XsegOp.Flush, 1, "", flags: RequestFlags.Housekeeping).Status);
        _blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        Assert.NotEqual(0, _rig.Do(XsegOp.Flush, 1, "", flags: RequestFlags.Housekeeping).Status);
        _blocker.Fail = request => request.Op == XsegOp.Write ? XsegErrno.EIO : 0;
        _rig.Do(XsegOp.Flush, 1, "", flags: RequestFlags.Housekeeping);
        _blocker.Fail = null;
        Assert.Equal((1, 1), ((int)Flow->Degraded, (int)Flow->FlushOwed));
        Invalidate();
        Assert.Equal((0, 0), ((int)Flow->Degraded, (int)Flow->FlushOwed));
        Assert.Equal(0, _rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(0, _rig.Do(XsegOp.Flush, 1, "").Status);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void WhatIsLostIsGivenUp(bool restart)
    {
        _rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        _rig.Write(1, "b", 0, Rig.Fill(8192, 2));
        _rig.Write(2, "c", 0, Rig.Fill(8192, 3));
        var segment = _rig.ClientProcess.Segment;
        segment.PageAt(Page("a"))->Masks |= 0x0100_0000;
        // After a restart: one page is nobody's, the other object's entry is an orphan, with both its pages.
        if (restart)
        {
            segment.PageAt(Page("a"))->Object = 60;
            segment.ObjectAt(_rig.Store.Find(Hash128.Of("b"u8))!.Entry)->HashLow ^= 1;
            _rig.RestartCache();
            Assert.Equal(1, _rig.Store.Orphans);
        }
        else
        {
            Assert.Equal(XsegErrno.EIO, _rig.Read(1, "a", 0, 4096).Status);
        }

        Assert.Equal(XsegErrno.EIO, _rig.Do(XsegOp.Flush, 1, "").Status);
        Invalidate();
        Assert.Equal((0, 0L), (_rig.Store.Orphans, _rig.Store.LostPages));
        Assert.Equal(0, _rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(Rig.Fill(8192, 3), _rig.Read(2, "c", 0, 8192).Data);
        Assert.Equal(2, segment.DirtyPages());
        Assert.Equal(0, _rig.Do(XsegOp.Flush, 0, "").Status);
    }

    private uint Page(string name) => _rig.Store.Buckets.Find(_rig.Store.Find(Hash128.Of(System.Text.Encoding.UTF8.GetBytes(name)))!.Entry, 0, false);

    [Fact]
    public void ItsAnswerIsTheBlockers()
    {
        _rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        _blocker.Fail = request => request.Op == XsegOp.Invalidate ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, _rig.Do(XsegOp.Invalidate, 1, "").Status);
        Assert.Equal(0, _rig.Store.Buckets.Count);
        Assert.Equal(XsegErrno.EINVAL, _rig.Do(XsegOp.Invalidate, 0, "").Status);
        Assert.Equal(XsegErrno.EINVAL, _rig.Do(XsegOp.Invalidate, 1, "a").Status);
    }
}
