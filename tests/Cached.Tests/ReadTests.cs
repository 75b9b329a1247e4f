using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached.Tests;

/// <summary>Hits, fills, bad requests, and what the cache costs.</summary>
public sealed class ReadTests
{
    private static (Rig, RecordingBlocker) Make(Placement placement = Placement.Apart, int pages = 256)
    {
        var blocker = new RecordingBlocker(new MemdPeer(new MemdOptions()));
        var rig = new Rig(1, new CachedOptions { Pages = pages, DirtyAge = TimeSpan.FromHours(1) }, placement, blocker: blocker);
        rig.SetPolicy(1, CachePolicy.WriteBack);
        return (rig, blocker);
    }

    [Fact]
    public async Task HitsLendTheBucketsPagesAndAskTheBlockerNothing()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        blocker.Seen.Clear();
        Assert.True(rig.Client.Context.Port.TryAllocate(out var request));
        rig.Client.Prepare(request, XsegOp.Read, 1, "a", 512, 4096);
        var reply = rig.Start(() => rig.Client.Cache.SubmitAsync(request).AsTask());
        rig.World.RunUntil(() => reply.IsCompleted, "read");
        Assert.Equal(0, await reply);
        var buckets = new[] { 0, 1 }.Select(bucket => rig.Store.Buckets.Find(rig.Store.Find(Hash128.Of("a"u8))!.Entry, (ushort)bucket, false));
        Assert.Equal(buckets, Client.PagesOf(request));
        Assert.Empty(blocker.Seen);
        rig.Client.Context.Free(request);
    }

    [Fact]
    public void FillThatAWriteOvertookIsNotKept()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Below(XsegOp.Truncate, 1, "a", 0, 8192);
        blocker.Hold = request => request.Op == XsegOp.Read;
        var read = rig.Start(() => rig.Client.ReadAsync(1, "a", 0, 8192));
        rig.World.RunUntil(() => blocker.Held == 1, "fill");
        blocker.Hold = null;
        rig.Write(1, "a", 4096, Rig.Fill(4096, 1), RequestFlags.ForceUnitAccess);
        for (int i = 0; i < 40; i++) rig.Read(1, $"b{i % 8}", (ulong)i * 32768, 32768);
        blocker.Release();
        rig.World.RunUntil(() => read.IsCompleted, "read");
        Assert.Equal(Rig.Fill(4096, 1), rig.Read(1, "a", 4096, 4096).Data);
    }

    [Fact]
    public void FillThatAnEvictionOvertookIsNotKept()
    {
        // Sector 0 is only here; a read of sector 1 fills the bucket from below, where sector 0 is old; meanwhile sector 0 goes down and its page is evicted.
        var (rig, blocker) = Make(pages: 64);
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(512, 1));
        blocker.Hold = request => request.Op == XsegOp.Read;
        var read = rig.Start(() => rig.Client.ReadAsync(1, "a", 512, 512));
        rig.World.RunUntil(() => blocker.Held == 1, "fill");
        blocker.Hold = null;
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        var of = rig.Store.Find(Hash128.Of("a"u8))!;
        for (int i = 0; i < 400 && of.Pages > 0; i++) rig.Read(1, $"b{i % 8}", (ulong)(i % 64) * 16384, 16384);
        Assert.Equal(0, of.Pages);
        Assert.True(of.Fills!.IsMoved(0), "the fill does not know that its bucket has changed");
        blocker.Release();
        rig.World.RunUntil(() => read.IsCompleted, "read");
        Assert.Equal(Rig.Fill(512, 1), rig.Read(1, "a", 0, 512).Data);
    }

    [Fact]
    public void MissingObjectsAreReportedFromTheCacheToo()
    {
        var (rig, _) = Make();
        using var rigged = rig;
        Assert.Equal(ReplyFlags.Missing, rig.Read(1, "a", 0, 4096).Flags);
        Assert.Equal(ReplyFlags.Missing, rig.Read(1, "a", 0, 4096).Flags);
        Assert.Equal(XsegErrno.EIO, rig.Read(1, "a", 0, 4096, flags: RequestFlags.MustExist).Status);
        rig.Write(1, "a", 8192, Rig.Fill(4096, 1));
        var found = rig.Read(1, "a", 0, 4096, flags: RequestFlags.MustExist);
        Assert.Equal((0, ReplyFlags.None), (found.Status, found.Flags));
        rig.Do(XsegOp.Delete, 1, "a");
        Assert.Equal(XsegErrno.EIO, rig.Read(1, "a", 0, 4096, flags: RequestFlags.MustExist).Status);
    }

    [Theory]
    [InlineData(RequestFlags.None)]
    [InlineData(RequestFlags.Shared)]
    public void WhatMustExistAndDoesNotIsAskedForAgainEachTime(RequestFlags shared)
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        var flags = RequestFlags.MustExist | shared;
        for (int i = 1; i <= 2; i++)
        {
            Assert.Equal(XsegErrno.EIO, rig.Read(1, "a", 0, 8192, flags: flags).Status);
            Assert.Equal(i, blocker.Of(XsegOp.Read).Count());
            Assert.Equal((0, 0), (rig.Store.Buckets.Count, rig.Store.Objects.Count));
        }

        // Zeros that others may read do not stay in the way of what another host makes then.
        Assert.Equal(ReplyFlags.Missing, rig.Read(1, "a", 0, 8192, flags: shared).Flags);
        rig.Run(() => rig.Client.WriteAsync(1, "a", 0, Rig.Fill(8192, 1), route: rig.Client.Blocks));
        Assert.Equal(new byte[8192], rig.Read(1, "a", 0, 8192, flags: shared).Data);
        var found = rig.Read(1, "a", 0, 8192, flags: flags);
        Assert.Equal((0, ReplyFlags.None), (found.Status, found.Flags));
        Assert.Equal(Rig.Fill(8192, 1), found.Data);
    }

    [Fact]
    public void WhatWasOnlyWrittenHereExists()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "a", 4096, Rig.Fill(4096, 1));
        Assert.Equal(new byte[4096], rig.Read(1, "a", 0, 4096, flags: RequestFlags.MustExist).Data);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        // Lost in the store: no zeros.
        rig.Below(XsegOp.Delete, 1, "a");
        Assert.Equal(XsegErrno.EIO, rig.Read(1, "a", 16384, 4096, flags: RequestFlags.MustExist).Status);
    }

    [Fact]
    public void WhatOnlyBlockersCanDoIsRefused()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        blocker.Seen.Clear();
        Assert.Equal(XsegErrno.ENOTSUP, rig.Write(1, "a", 0, Rig.Fill(1024, 1), RequestFlags.Compare).Status);
        Assert.Equal(XsegErrno.ENOTSUP, rig.Read(1, "", 0, 1000, flags: RequestFlags.List, own: true).Status);
        Assert.Equal(XsegErrno.ENOTSUP, rig.Read(1, "a", 0, 4096, flags: RequestFlags.List, own: true).Status);
        Assert.Empty(blocker.Seen);
    }

    [Fact]
    public void BadRequestsAreRefused()
    {
        var (rig, _) = Make();
        using var rigged = rig;
        Assert.Equal(XsegErrno.EINVAL, rig.Read(1, "a", 1, 512).Status);
        Assert.Equal(XsegErrno.EINVAL, rig.Write(1, "a", 0, new byte[100]).Status);
        Assert.Equal(XsegErrno.EFBIG, rig.Read(1, "a", RequestSlot.MaxData - 512, 1024).Status);
        Assert.Equal(XsegErrno.EINVAL, rig.Do(XsegOp.Discard, 1, "a", 0, 100).Status);
        Assert.Equal(XsegErrno.ENOTSUP, rig.Do(XsegOp.Snapshot, 1, "a").Status);
        // A write whose extent names a page of the cache, and one that names nothing.
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        uint stolen = rig.Store.Buckets.Find(rig.Store.Find(Hash128.Of("a"u8))!.Entry, 0, false);
        foreach (var lie in new[] { new Extent(stolen, 1), new Extent(uint.MaxValue >> 1, 0), Extent.Zero, new Extent(3, 7) })
        {
            Assert.True(rig.Client.Context.Port.TryAllocate(out var request));
            rig.Client.Prepare(request, XsegOp.Write, 1, "b", 0, 4096);
            rig.Client.Context.Port.AttachForeign(request, 0, lie);
            Assert.Equal(XsegErrno.EBADMSG, rig.Run(() => rig.Client.Cache.SubmitAsync(request).AsTask()));
            rig.Client.Context.Free(request);
        }

        Assert.Equal(Rig.Fill(4096, 1), rig.Read(1, "a", 0, 4096).Data);
        rig.World.RunFor(TimeSpan.FromSeconds(1));
        Conservation.Check(rig);
    }

    [Fact]
    public void SteadyHitsAndWriteBackWritesAllocateNothing()
    {
        var (rig, _) = Make(Placement.One);
        using var rigged = rig;
        var (port, cached) = (rig.Client.Context.Port, rig.Cached);
        var hash = Hash128.Of("a"u8);
        void Round(XsegOp op, ulong bucket)
        {
            Assert.True(port.TryAllocate(out var request));
            port.Prepare(request, op, 1, "a"u8, hash, bucket * 4096, 4096);
            if (op == XsegOp.Write && !port.TryAttachPages(request, true)) throw new InvalidOperationException("no page");
            var answer = cached.HandleAsync(request);
            if (!answer.IsCompleted || answer.Result != 0) throw new InvalidOperationException("not answered at once");
            port.Free(request);
        }

        void Rounds(int count)
        {
            for (int i = 0; i < count; i++)
            {
                Round(XsegOp.Write, (ulong)(i % 64));
                Round(XsegOp.Read, (ulong)(i * 7 % 64));
            }
        }

        Round(XsegOp.Write, 0);
        Rounds(6000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Rounds(10_000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    /// <summary>What a read cached beyond the target's end must not be made the target's by a COPY that does nothing.</summary>
    [Fact]
    public void ACopyOfWhatDoesNotExistLeavesItsTargetAsItWas()
    {
        using var rig = new Rig();
        rig.SetPolicy(1, CachePolicy.WriteBack);
        rig.Write(1, "target", 0, Rig.Fill(4096, 1), RequestFlags.ForceUnitAccess);
        rig.Read(1, "target", 0, 16384);
        Assert.Equal(XsegErrno.ENOENT, rig.Do(XsegOp.Copy, 1, "target", 0, 1 << 20, source: "nothing").Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(4096u, rig.Below(XsegOp.Info, 1, "target").Serviced);
    }
}
