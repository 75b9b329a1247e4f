using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached.Tests;

/// <summary>COPY of what is cached: what the blocker is asked, and what is here afterwards.</summary>
public sealed class CopyTests : IDisposable
{
    private const RequestFlags Shared = RequestFlags.Shared, Fua = RequestFlags.ForceUnitAccess;
    private readonly RecordingBlocker _blocker = new(new MemdPeer(new MemdOptions { Stable = false }));
    private readonly Rig _rig;

    public CopyTests()
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

    private void Below(string name, int length, ulong stamp) =>
        Assert.Equal(0, _rig.Run(() => _rig.Client.WriteAsync(1, name, 0, Rig.Fill(length, stamp), route: _rig.Client.Blocks)).Status);

    private Reply Copy(uint flow, RequestFlags flags = RequestFlags.None, ulong length = 1 << 20) => _rig.Do(XsegOp.Copy, flow, "target", 0, length, flags, "source");

    private int Asked(XsegOp op) => _blocker.Of(op).Count();

    [Theory]
    [InlineData(16384, 1 << 20)]
    [InlineData(16384, 10000)]
    [InlineData(12000, 1 << 20)]
    [InlineData(100, 4096)]
    [InlineData(150_000, 1 << 20)]
    public void AnImagesCachedObjectIsCopiedWithoutReadingItAndTheTargetIsWarm(int size, int length)
    {
        Below("source", size, 1);
        _rig.Read(2, "source", 0, (ulong)(size + 511) & ~511ul, flags: Shared);
        _blocker.Seen.Clear();
        var reply = Copy(1, Shared, (ulong)length);
        int copied = Math.Min(size, length);
        Assert.Equal((0, (ulong)copied), (reply.Status, reply.Serviced));
        Assert.Equal((1, 0, 0), (Asked(XsegOp.Write), Asked(XsegOp.Copy), Asked(XsegOp.Read)));
        byte[] expected = new byte[1 << 18];
        Rig.Fill(size, 1).AsSpan(0, copied).CopyTo(expected);
        ulong cached = ((ulong)copied + 4095) & ~4095ul;
        Assert.Equal(expected[..(int)cached], _rig.Read(1, "target", 0, cached).Data);
        Assert.Equal(0, Asked(XsegOp.Read));
        Assert.Equal((ulong)copied, _rig.Below(XsegOp.Info, 1, "target").Serviced);
        Assert.Equal(expected, _rig.ReadBelow(1, "target", 0, 1 << 18).Data);
        Assert.Equal(1u, _rig.Store.Find(Hash128.Of("target"u8))!.Flow.Index);
        // They are apart.
        _rig.Write(1, "target", 0, Rig.Fill(512, 9));
        Assert.Equal(Rig.Fill(size, 1).AsSpan(0, Math.Min(size, 512)), _rig.Read(3, "source", 0, 512, flags: Shared).Data.AsSpan(0, Math.Min(size, 512)));
    }

    [Fact]
    public void SoIsAFlowsOwnObjectOnceItIsBelow()
    {
        _rig.Write(1, "source", 0, Rig.Fill(16384, 1));
        Assert.Equal(0, Copy(1).Status);
        Assert.Equal((0, 2), (Asked(XsegOp.Copy), Asked(XsegOp.Write)));
        Assert.Equal(Rig.Fill(16384, 1), _rig.ReadBelow(1, "target", 0, 16384).Data);
        Assert.Equal(Rig.Fill(16384, 1), _rig.ReadBelow(1, "source", 0, 16384).Data);
    }

    [Fact]
    public void WhatIsThereAlreadyIsReplacedByTheBlockerAsAWholeAndTheTargetIsWarmAllTheSame()
    {
        Below("source", 16384, 1);
        Below("target", 32768, 2);
        _rig.Read(1, "source", 0, 16384, flags: Shared);
        _rig.Read(1, "target", 0, 32768);
        Assert.Equal(0, Copy(1, Shared).Status);
        Assert.Equal((1, 0), (Asked(XsegOp.Copy), Asked(XsegOp.Write) - 2));
        _blocker.Seen.Clear();
        Assert.Equal(Rig.Fill(16384, 1), _rig.Read(1, "target", 0, 16384).Data);
        Assert.Empty(_blocker.Seen);
        Assert.Equal(new byte[16384], _rig.Read(1, "target", 16384, 16384).Data);
        Assert.Equal(16384u, _rig.Below(XsegOp.Info, 1, "target").Serviced);
    }

    [Fact]
    public void ExclusiveIsTheBlockersToSay()
    {
        Below("source", 16384, 1);
        _rig.Read(1, "source", 0, 16384, flags: Shared);
        Assert.Equal(0, Copy(1, Shared | RequestFlags.Exclusive).Status);
        Assert.Equal(XsegErrno.EEXIST, Copy(1, Shared | RequestFlags.Exclusive).Status);
        Assert.Equal(2, Asked(XsegOp.Copy));
    }

    [Fact]
    public void WhatIsCachedInPartTheBlockerCopies()
    {
        Below("source", 16384, 1);
        _rig.Read(1, "source", 0, 12288, flags: Shared);
        Assert.Equal(0, Copy(1, Shared).Status);
        Assert.Equal(1, Asked(XsegOp.Copy));
        Assert.Equal(Rig.Fill(16384, 1), _rig.Read(1, "target", 0, 16384).Data);
    }

    [Fact]
    public void AWriteThatFailsLeavesItToTheBlocker()
    {
        Below("source", 16384, 1);
        _rig.Read(1, "source", 0, 16384, flags: Shared);
        _blocker.Fail = request => request.Op == XsegOp.Write ? XsegErrno.EIO : 0;
        Assert.Equal(0, Copy(1, Shared).Status);
        Assert.Equal(1, Asked(XsegOp.Copy));
        Assert.Equal(Rig.Fill(16384, 1), _rig.Read(1, "target", 0, 16384).Data);
    }

    [Fact]
    public void OfAnotherFlowNothingIsBelieved()
    {
        _rig.Write(2, "source", 0, Rig.Fill(16384, 1));
        Assert.Equal(0, Copy(1, Shared).Status);
        Assert.Equal(1, Asked(XsegOp.Copy));
        Assert.Equal(Rig.Fill(16384, 1), _rig.Read(1, "target", 0, 16384).Data);
        Assert.Null(_rig.Store.Find(Hash128.Of("source"u8)));
        // And stable pages of it, older than what the blocker has.
        _rig.Read(2, "source", 0, 16384);
        Below("source", 16384, 2);
        Assert.Equal(0, Copy(3, Shared).Status);
        Assert.Equal(Rig.Fill(16384, 2), _rig.Read(3, "target", 0, 16384).Data);
    }

    [Fact]
    public void SeveralClonesMayCopyOneObjectAtOnce()
    {
        Below("source", 16384, 1);
        _rig.Read(1, "source", 0, 16384, flags: Shared);
        _blocker.Hold = request => request.Op == XsegOp.Write;
        var copies = Enumerable.Range(1, 3).Select(i => _rig.Start(() => _rig.Client.IssueAsync(XsegOp.Copy, (uint)i, $"target{i}", 0, 1 << 20, Shared, "source"))).ToArray();
        _rig.World.RunUntil(() => _blocker.Held == 3, "three writes");
        _blocker.Release();
        _rig.World.RunUntil(() => copies.All(copy => copy.IsCompleted), "three copies");
        for (uint i = 1; i <= 3; i++) Assert.Equal(Rig.Fill(16384, 1), _rig.Read(i, $"target{i}", 0, 16384).Data);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void WithFuaItIsStableWhenAnswered(bool warm)
    {
        Below("source", 16384, 1);
        if (warm) _rig.Read(1, "source", 0, 16384, flags: Shared);
        Assert.Equal(0, Copy(1, Shared).Status);
        Assert.Equal(0, Asked(XsegOp.Flush));
        Assert.Equal(0, _rig.Do(XsegOp.Delete, 1, "target").Status);
        _blocker.Seen.Clear();
        Assert.Equal(0, Copy(1, Shared | Fua).Status);
        Assert.Equal(1u, Assert.Single(_blocker.Of(XsegOp.Flush)).Flow);
        _blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, Copy(1, Shared | Fua).Status);
        _blocker.Fail = null;
    }

    [Fact]
    public void AFlowThatIsNotCachedCopiesPagesAndKeepsNone()
    {
        Below("source", 16384, 1);
        _rig.Read(2, "source", 0, 16384, flags: Shared);
        _rig.SetPolicy(1, CachePolicy.Off);
        Assert.Equal(0, Copy(1, Shared).Status);
        Assert.Equal((0, 4), (Asked(XsegOp.Copy), _rig.Store.Buckets.Count));
        Assert.Equal(Rig.Fill(16384, 1), _rig.Read(1, "target", 0, 16384).Data);
    }

    [Fact]
    public void ATargetThatIsCachedForAllIsTheWritersAfterwards()
    {
        Below("source", 16384, 1);
        _rig.Read(2, "source", 0, 16384, flags: Shared);
        Assert.Equal(ReplyFlags.Missing, _rig.Read(2, "target", 0, 16384, flags: Shared).Flags);
        Assert.Equal(0, Copy(1, Shared).Status);
        Assert.Equal(0, Asked(XsegOp.Copy));
        Assert.Equal(1u, _rig.Store.Find(Hash128.Of("target"u8))!.Flow.Index);
        Assert.Equal(Rig.Fill(16384, 1), _rig.Read(1, "target", 0, 16384).Data);
    }

    [Fact]
    public void WithoutRoomTheBlockerCopies()
    {
        Below("source", 300_000, 1);
        for (ulong at = 0; at < 300_000; at += 30_720) _rig.Read(1, "source", at, 30_720, flags: Shared);
        Assert.Equal(0, Copy(1, Shared).Status);
        Assert.Equal(1, Asked(XsegOp.Copy));
        Assert.Equal(Rig.Fill(300_000, 1)[..131_072], _rig.Read(1, "target", 0, 131_072).Data);
    }
}
