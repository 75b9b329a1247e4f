using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached.Tests;

/// <summary>When and how dirty pages go down, seen from a blocker that records and holds.</summary>
public sealed class DestageTests
{
    private static (Rig, RecordingBlocker) Make(CachedOptions? options = null, MemdOptions? memd = null, Placement placement = Placement.Apart)
    {
        var below = new MemdPeer(memd ?? new MemdOptions { Stable = false });
        var blocker = new RecordingBlocker(below);
        var rig = new Rig(1, options ?? new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromHours(1) }, placement, blocker: blocker);
        rig.SetPolicy(1, CachePolicy.WriteBack);
        rig.SetPolicy(2, CachePolicy.WriteBack);
        return (rig, blocker);
    }

    private static readonly CachedOptions Patient = new() { Pages = 256, DirtyAge = TimeSpan.FromHours(1) };

    [Fact]
    public void AtMostOneWriteOfABucketIsInFlight()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        blocker.Hold = request => request.Op == XsegOp.Write;
        var writes = new List<Task<Reply>>();
        for (ulong i = 1; i <= 6; i++)
        {
            ulong stamp = i;
            writes.Add(rig.Start(() => rig.Client.WriteAsync(1, "a", 0, Rig.Fill(4096, stamp), RequestFlags.ForceUnitAccess)));
            rig.World.RunFor(TimeSpan.FromMilliseconds(20));
        }

        Assert.Single(blocker.Of(XsegOp.Write));
        blocker.Release();
        rig.World.RunUntil(() => writes.TrueForAll(write => write.IsCompleted), "writes");
        Assert.Equal(1, blocker.MostWritesPerBucket);
        Assert.Equal(Rig.Fill(4096, 6), rig.ReadBelow(1, "a", 0, 4096).Data);
    }

    [Fact]
    public void WhatIsOnItsWayCountsAsDirtyAndAStoreThatDoesNotAnswerShowsAsStuck()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        blocker.Hold = request => request.Op == XsegOp.Write;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        rig.World.RunFor(TimeSpan.FromSeconds(3));
        var flush = rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        rig.World.RunUntil(() => blocker.Held == 1, "destage");
        Assert.False(Assert.Single(rig.Cached.Collect().Flows).Stuck);
        rig.World.RunFor(TimeSpan.FromSeconds(4));
        var stuck = rig.Cached.Collect();
        Assert.Equal(1, stuck.DestageInFlight);
        Assert.InRange(stuck.OldestDirtySeconds, 7, 7.5);
        Assert.InRange(stuck.OldestDestageSeconds, 4, 4.5);
        Assert.True(Assert.Single(stuck.Flows).Stuck);
        blocker.Release();
        rig.World.RunUntil(() => flush.IsCompleted, "flush");
        var done = rig.Cached.Collect();
        Assert.Equal((0, 0), (done.OldestDirtySeconds, done.OldestDestageSeconds));
        Assert.False(Assert.Single(done.Flows).Stuck);
    }

    [Fact]
    public void AFailedDestageDoesNotMakeDirtyDataYoung()
    {
        var (rig, blocker) = Make(Patient with { DirtyAge = TimeSpan.FromSeconds(1) });
        using var _ = rig;
        blocker.Fail = request => request.Op == XsegOp.Write ? XsegErrno.EIO : 0;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        rig.World.RunFor(TimeSpan.FromSeconds(20));
        Assert.True(rig.Cached.Collect().DestageErrors > 1);
        Assert.InRange(rig.Cached.Collect().OldestDirtySeconds, 19, 21);
    }

    [Fact]
    public void CompletionCleansOnlyTheVersionThatWasSent()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        blocker.Hold = request => request.Op == XsegOp.Write;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        var flush = rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        rig.World.RunUntil(() => blocker.Held == 1, "destage");
        rig.Write(1, "a", 512, Rig.Fill(512, 2));
        blocker.Release();
        rig.World.RunUntil(() => flush.IsCompleted, "flush");
        Assert.Equal(1, rig.Store.DirtyPages);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(0, rig.Store.DirtyPages);
        Assert.Equal(Rig.Fill(512, 2), rig.ReadBelow(1, "a", 512, 512).Data);
    }

    [Fact]
    public void FlushOfAReplacedVersionStillCallsTheBlockersFlush()
    {
        var (rig, blocker) = Make(memd: new MemdOptions { Volatile = true });
        using var _ = rig;
        rig.Do(XsegOp.Flush, 1, "");
        blocker.Seen.Clear();
        blocker.Hold = request => request.Op == XsegOp.Write;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        var flush = rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        rig.World.RunUntil(() => blocker.Held == 1, "destage");
        rig.Write(1, "a", 0, Rig.Fill(4096, 2));
        blocker.Release();
        rig.World.RunUntil(() => flush.IsCompleted, "flush");
        Assert.NotEmpty(blocker.Of(XsegOp.Flush));
    }

    [Fact]
    public void LateDestageNeverBringsADeletedObjectBack()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        blocker.Hold = request => request.Op == XsegOp.Write;
        rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        var flush = rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        rig.World.RunUntil(() => blocker.Held == 1, "destage");
        var delete = rig.Start(() => rig.Client.IssueAsync(XsegOp.Delete, 1, "a"));
        rig.World.RunFor(TimeSpan.FromSeconds(1));
        Assert.Empty(blocker.Of(XsegOp.Delete));
        blocker.Release();
        rig.World.RunUntil(() => delete.IsCompleted && flush.IsCompleted, "delete");
        rig.World.RunFor(TimeSpan.FromSeconds(10));
        Assert.Equal(1u, rig.Run(() => delete).Serviced);
        Assert.Equal(XsegErrno.ENOENT, rig.Below(XsegOp.Info, 1, "a").Status);
        Assert.Equal(new byte[8192], rig.Read(1, "a", 0, 8192).Data);
    }

    [Fact]
    public void DirtyObjectIsDeletedFromAFullBlocker()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        blocker.Fail = request => request.Op == XsegOp.Write ? XsegErrno.ENOSPC : 0;
        rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        var deleted = rig.Do(XsegOp.Delete, 1, "a");
        Assert.Equal((0, 1ul), (deleted.Status, deleted.Serviced));
        Assert.Equal(0, rig.Store.DirtyPages);
    }

    [Fact]
    public void NeighboursGoDownAsOneWrite()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        foreach (ulong bucket in new ulong[] { 5, 3, 4, 7, 6 }) rig.Write(1, "a", bucket * 4096, Rig.Fill(4096, bucket));
        rig.Do(XsegOp.Flush, 1, "");
        var write = Assert.Single(blocker.Of(XsegOp.Write));
        Assert.Equal((3 * 4096ul, 5 * 4096ul), (write.Offset, write.Length));
    }

    [Fact]
    public void LongRunWithoutAPageForItsListIsWrittenToItsEnd()
    {
        var (rig, blocker) = Make(Patient with { DestageRun = 128 });
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(60 * 4096, 1));
        var pages = rig.Cached.Context.Port.Pages;
        Assert.True(rig.Cached.Context.Port.TryAllocate(out var hoarder));
        while (pages.TryTake(hoarder.Slot, out var taken)) Assert.NotEqual(0u, taken.Page);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(0, rig.Store.DirtyPages);
        Assert.Equal(Rig.Fill(60 * 4096, 1), rig.ReadBelow(1, "a", 0, 60 * 4096).Data);
        Assert.True(blocker.Of(XsegOp.Write).Count() > 1);
    }

    [Fact]
    public void DestageStartsByAge()
    {
        var (rig, blocker) = Make(Patient with { DirtyAge = TimeSpan.FromSeconds(2) });
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        long written = rig.World.Clock.Now;
        rig.World.RunFor(TimeSpan.FromSeconds(1.5));
        Assert.Empty(blocker.Of(XsegOp.Write));
        rig.World.RunFor(TimeSpan.FromSeconds(1));
        Assert.InRange((Assert.Single(blocker.Of(XsegOp.Write)).At - written) / 1e9, 1.9, 2.2);
    }

    [Fact]
    public void SizeOfAnObjectDoesNotGrowByDestaging()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(512, 1), RequestFlags.ForceUnitAccess);
        rig.Read(1, "a", 0, 4096);
        rig.Write(1, "a", 512, Rig.Fill(512, 2));
        rig.Do(XsegOp.Flush, 1, "");
        Assert.Equal(1024u, rig.Below(XsegOp.Info, 1, "a").Serviced);
    }

    [Fact]
    public void FailedDestageKeepsItsDataTurnsWriteThroughAndIsTriedAgain()
    {
        var (rig, blocker) = Make(Patient with { DirtyAge = TimeSpan.FromMilliseconds(100) });
        using var _ = rig;
        blocker.Fail = request => request.Op == XsegOp.Write ? XsegErrno.EIO : 0;
        Assert.Equal(0, rig.Write(1, "a", 0, Rig.Fill(4096, 1)).Status);
        rig.World.RunFor(TimeSpan.FromSeconds(2));
        Assert.Equal(1, rig.Store.DirtyPages);
        Assert.InRange(blocker.Of(XsegOp.Write).Count(), 2, 10);
        Assert.Equal(XsegErrno.EIO, rig.Write(1, "b", 0, Rig.Fill(4096, 2)).Status);
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        blocker.Fail = null;
        rig.World.RunFor(TimeSpan.FromSeconds(20));
        Assert.Equal(0, rig.Store.DirtyPages);
        Assert.Equal(Rig.Fill(4096, 1), rig.ReadBelow(1, "a", 0, 4096).Data);
        blocker.Seen.Clear();
        Assert.Equal(0, rig.Write(1, "c", 0, Rig.Fill(4096, 3)).Status);
        Assert.Empty(blocker.Seen);
    }

    [Fact]
    public void WriteAroundThatCannotBringDirtyPagesDownKeepsThem()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        rig.SetPolicy(1, CachePolicy.Off);
        blocker.Fail = request => request.Op == XsegOp.Write ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, rig.Write(1, "a", 0, Rig.Fill(4096, 2)).Status);
        Assert.Equal(Rig.Fill(4096, 1), rig.Read(1, "a", 0, 4096).Data);
        Assert.Equal(1, rig.Store.DirtyPages);
    }
}
