using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;

namespace Archipelago.Cached.Tests;

/// <summary>A volume whose writes the blocker refuses, for good, in a cache that others use too.</summary>
public sealed class FailingFlowTests : IDisposable
{
    private readonly RecordingBlocker _blocker = new(new MemdPeer(new MemdOptions()));
    private readonly Rig _rig;

    public FailingFlowTests()
    {
        _rig = new Rig(3, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromMilliseconds(50), DirtyRatio = 0.75 }, blocker: _blocker);
        for (uint flow = 1; flow <= 2; flow++) _rig.SetPolicy(flow, CachePolicy.WriteBack);
        _blocker.Fail = request => request.Op == XsegOp.Write && request.Flow == 1 ? XsegErrno.ENOSPC : 0;
    }

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void ItsWritesFailAndNeverHang()
    {
        int failed = 0;
        for (ulong i = 0; i < 400; i++)
        {
            int status = _rig.Write(1, "full", i * 4096, Rig.Fill(4096, i + 1)).Status;
            Assert.True(status is 0 or XsegErrno.ENOSPC, $"errno {status}");
            if (status != 0) failed++;
        }

        Assert.True(failed > 200);
    }

    [Fact]
    public void OthersWriteAllTheSame()
    {
        // All that may be dirty at once is acknowledged before the first error is known.
        _blocker.Hold = request => request.Op == XsegOp.Write && request.Flow == 1;
        for (ulong i = 0; i < 192; i++) Assert.Equal(0, _rig.Write(1, "full", i * 4096, Rig.Fill(4096, i + 1)).Status);
        for (ulong i = 0; i < 500; i++) Assert.Equal(0, _rig.Write(2, "other", i * 4096, Rig.Fill(4096, i + 1)).Status);
        _blocker.Release();
        for (ulong i = 0; i < 500; i++) Assert.Equal(0, _rig.Write(2, "other", i * 4096, Rig.Fill(4096, i + 7)).Status);
        Assert.Equal(0, _rig.Do(XsegOp.Flush, 2, "").Status);
        Assert.Equal(XsegErrno.ENOSPC, _rig.Do(XsegOp.Flush, 1, "").Status);
    }

    [Fact]
    public void WhatWasAcknowledgedComesDownOnceThereIsSpace()
    {
        var acknowledged = new List<ulong>();
        for (ulong i = 0; i < 300; i++)
            if (_rig.Write(1, "full", i * 4096, Rig.Fill(4096, i + 1)).Status == 0) acknowledged.Add(i);
        _blocker.Fail = null;
        _rig.World.RunFor(TimeSpan.FromSeconds(5));
        Assert.Equal(0, _rig.Write(1, "full", 300 * 4096, Rig.Fill(4096, 9)).Status);
        Assert.Equal(0, _rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.NotEmpty(acknowledged);
        Assert.All(acknowledged, i => Assert.Equal(Rig.Fill(4096, i + 1), _rig.ReadBelow(1, "full", i * 4096, 4096).Data));
    }
}
