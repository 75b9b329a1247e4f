using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Tables;

namespace Archipelago.Cached.Tests;

/// <summary>RETIRE: the flow's number is about to be another volume's, which must find nothing of this one's; and nothing of this one may be lost.</summary>
public sealed unsafe class RetireTests : IDisposable
{
    private readonly RecordingBlocker _blocker = new(new MemdPeer(new MemdOptions { Stable = false }));
    private readonly Rig _rig;

    public RetireTests()
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

    private FlowEntry* Flow => _rig.ClientProcess.Segment.FlowAt(1);

    private int Retire(uint flow = 1) => _rig.Do(XsegOp.Retire, flow, "").Status;

    [Fact]
    public void WhatIsDirtyIsMadeStableAndNothingNamesTheFlowThen()
    {
        _rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        _rig.Write(1, "b", 512, Rig.Fill(512, 2));
        _rig.Write(2, "c", 0, Rig.Fill(4096, 3));
        Assert.True(FlowReferences.Find(_rig.ClientProcess.Segment)[1]);
        Assert.Equal(0, Retire());
        var named = FlowReferences.Find(_rig.ClientProcess.Segment);
        Assert.Equal((false, true), (named[1], named[2]));
        Assert.Equal((0L, 0, 1L), (_rig.Store.FlowOf(1).Pages, _rig.Store.FlowOf(1).Objects, _rig.Store.FlowOf(2).DirtyPages));
        Assert.Equal([XsegOp.Flush], _blocker.Seen.Select(seen => seen.Op).Where(op => op != XsegOp.Write));
        Assert.Equal(Rig.Fill(8192, 1), _rig.ReadBelow(1, "a", 0, 8192).Data);
        Assert.Equal(Rig.Fill(8192, 1), _rig.Read(1, "a", 0, 8192).Data);
    }

    [Fact]
    public void TheFiguresOfTheNextFlowBeginAtZeroAndTheTotalsGoOn()
    {
        _rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        _rig.Read(1, "a", 0, 8192);
        _rig.Read(1, "b", 0, 4096);
        Assert.Equal(0, Retire());
        var shown = Assert.Single(_rig.Cached.Collect().Flows, flow => flow.Volume == "flow1");
        Assert.Equal((0L, 0L, 0L, 0L), (shown.Hits, shown.Misses, shown.Writes, shown.CachedBytes));
        Assert.Equal((1L, 1L, 1L), (_rig.Cached.Figures.Hits, _rig.Cached.Figures.Misses, _rig.Cached.Figures.Writes));
        Flow->Word &= ~(ulong)uint.MaxValue;
        Assert.DoesNotContain(_rig.Cached.Collect().Flows, flow => flow.Volume.Length == 0);
    }

    [Fact]
    public void WhatTheBlockerDoesNotTakeStays()
    {
        _rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        _blocker.Fail = request => request.Op == XsegOp.Write ? XsegErrno.ENOSPC : 0;
        Assert.Equal(XsegErrno.ENOSPC, Retire());
        _blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, Retire());
        Assert.Equal(2, _rig.Store.DirtyPages);
        _blocker.Fail = null;
        Assert.Equal(0, Retire());
    }

    [Fact]
    public void AnErrorThatWasNotToldIsNotForgotten()
    {
        Assert.Equal(0, _rig.Do(XsegOp.Discard, 1, "b", 0, 4096).Status);
        _blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, Retire());
        _blocker.Fail = null;
        Assert.Equal(XsegErrno.EBUSY, Retire());
        Assert.Equal(XsegErrno.EIO, _rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(0, _rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(0, Retire());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void WhatIsLostStays(bool restart)
    {
        _rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        _rig.Write(1, "b", 0, Rig.Fill(4096, 2));
        if (restart)
        {
            _rig.ClientProcess.Segment.ObjectAt(_rig.Store.Find(Hash128.Of("b"u8))!.Entry)->HashLow ^= 1;
            _rig.RestartCache();
            Assert.Equal(1, _rig.Store.Orphans);
        }
        else
        {
            uint page = _rig.Store.Buckets.Find(_rig.Store.Find(Hash128.Of("b"u8))!.Entry, 0, false);
            _rig.ClientProcess.Segment.PageAt(page)->Masks |= 0x0100_0000;
        }

        Assert.Equal(XsegErrno.EIO, Retire());
        Assert.True(FlowReferences.Find(_rig.ClientProcess.Segment)[1]);
        if (restart) Assert.Equal(Rig.Fill(4096, 2), _rig.Read(1, "b", 0, 4096).Data);
        else Assert.Equal(0, _rig.Write(1, "b", 0, Rig.Fill(4096, 3)).Status);
        Assert.Equal(0, Retire());
    }

    [Fact]
    public void AFlowThatIsReadMeanwhileIsBusy()
    {
        _blocker.Hold = request => request.Op == XsegOp.Read;
        var read = _rig.Start(() => _rig.Client.ReadAsync(1, "a", 0, 8192));
        _rig.World.RunUntil(() => _blocker.Held == 1, "fill");
        Assert.Equal(XsegErrno.EBUSY, Retire());
        _blocker.Hold = null;
        _blocker.Release();
        _rig.World.RunUntil(() => read.IsCompleted, "read");
        Assert.Equal(0, Retire());
    }

    [Fact]
    public void NoFlowAnObjectAndTheFlowOfAllAreRefused()
    {
        _rig.Read(1, "a", 0, 4096, flags: RequestFlags.Shared);
        Assert.Equal(XsegErrno.EINVAL, Retire(0));
        Assert.Equal(XsegErrno.EINVAL, _rig.Do(XsegOp.Retire, 1, "a").Status);
        Assert.Equal(XsegErrno.EINVAL, Retire(_rig.Store.SharedFlow));
        Assert.Equal(XsegErrno.EBADMSG, Retire(8));
    }
}
