using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;

namespace Archipelago.Cached.Tests;

/// <summary>FLUSH, FUA and what a failed one does.</summary>
public sealed class FlushTests
{
    private static (Rig, RecordingBlocker) Make(CachePolicy policy = CachePolicy.WriteBack, bool safe = false)
    {
        var blocker = new RecordingBlocker(new MemdPeer(new MemdOptions { Volatile = true }));
        var rig = new Rig(1, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromHours(1) }, blocker: blocker);
        for (uint flow = 1; flow <= 3; flow++) rig.SetPolicy(flow, policy, safe);
        return (rig, blocker);
    }

    [Fact]
    public void FlushCoversWhatWasAnsweredBeforeAndCallsTheBlockersFlushAfterTheWrites()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        rig.Write(1, "b", 512, Rig.Fill(1024, 2));
        rig.Write(2, "other", 0, Rig.Fill(4096, 3));
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(["Write", "Write", "Flush"], blocker.Seen.Where(seen => seen.Flow == 1).Select(seen => seen.Op.ToString()));
        Assert.DoesNotContain(blocker.Seen, seen => seen.Name == "other");
        Assert.Equal(0, rig.Do(XsegOp.Flush, 0, "").Status);
        Assert.Contains(blocker.Seen, seen => seen.Name == "other");
        Assert.Equal(0, rig.Store.DirtyPages);
    }

    [Fact]
    public void FlushWaitsForAWriteOnItsWay()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        blocker.Hold = request => request.Op == XsegOp.Write;
        var first = rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        rig.World.RunUntil(() => blocker.Held == 1, "destage");
        var second = rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        rig.World.RunFor(TimeSpan.FromSeconds(2));
        Assert.False(first.IsCompleted || second.IsCompleted);
        blocker.Release();
        rig.World.RunUntil(() => first.IsCompleted && second.IsCompleted, "flushes");
    }

    [Fact]
    public void FailedFlushReportsAndMakesWrittenPagesDirtyAgain()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        rig.Write(1, "a", 8192, Rig.Fill(512, 2));
        blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(2, rig.Store.DirtyPages);
        blocker.Fail = null;
        blocker.Seen.Clear();
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(2, blocker.Of(XsegOp.Write).Count());
        Conservation.Check(rig);
    }

    [Fact]
    public void WriteThatWasUnderWayDuringAFailedFlushIsSentAgain()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(512, 1));
        rig.Do(XsegOp.Flush, 1, "");
        rig.Write(1, "a", 0, Rig.Fill(512, 2));
        // Brings the sector down as written, then lets a FLUSH and a write of its neighbour be on their way at once.
        blocker.Hold = request => request.Op == XsegOp.Flush;
        var failing = rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        rig.World.RunUntil(() => blocker.Held == 1, "flush");
        rig.Write(1, "a", 1024, Rig.Fill(512, 3));
        blocker.Hold = request => request.Op == XsegOp.Write;
        var second = rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        rig.World.RunUntil(() => blocker.Held == 2, "destage");
        blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        blocker.Release();
        rig.World.RunUntil(() => failing.IsCompleted && second.IsCompleted, "flushes");
        blocker.Fail = null;
        blocker.Seen.Clear();
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Contains(blocker.Of(XsegOp.Write), seen => seen.Offset == 0);
        Assert.Contains(blocker.Of(XsegOp.Write), seen => seen.Offset <= 1024 && seen.Offset + seen.Length >= 1536);
    }

    [Fact]
    public void ForcedWriteIsStableWhenAnswered()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        Assert.Equal(0, rig.Write(1, "a", 512, Rig.Fill(1024, 1), RequestFlags.ForceUnitAccess).Status);
        Assert.True(blocker.Seen.Exists(seen => seen.Op == XsegOp.Flush) || blocker.Of(XsegOp.Write).All(seen => (seen.Flags & RequestFlags.ForceUnitAccess) != 0));
        Assert.Equal(0, rig.Store.DirtyPages);
    }

    [Fact]
    public void SafeUntilTheFirstFlushWritesThrough()
    {
        var (rig, blocker) = Make(safe: true);
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        Assert.Single(blocker.Of(XsegOp.Write));
        rig.Do(XsegOp.Flush, 1, "");
        rig.Write(1, "a", 4096, Rig.Fill(4096, 1));
        Assert.Single(blocker.Of(XsegOp.Write));
        rig.Write(2, "b", 0, Rig.Fill(4096, 1));
        Assert.Equal(2, blocker.Of(XsegOp.Write).Count());
    }

    [Fact]
    public void FlushOfAPeersOwnDoesNotShowThatTheUserFlushes()
    {
        var (rig, blocker) = Make(safe: true);
        using var _ = rig;
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "", flags: RequestFlags.Housekeeping).Status);
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        Assert.Single(blocker.Of(XsegOp.Write));
    }

    [Fact]
    public void ObjectOfAnotherFlowIsReadAndMadeStableAll()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "a", 0, Rig.Fill(8192, 1));
        Assert.Equal(Rig.Fill(4096, 1), rig.Read(2, "a", 0, 4096).Data);
        Assert.Equal(0, rig.Write(2, "a", 0, Rig.Fill(4096, 2)).Status);
        Assert.Equal(Rig.Fill(4096, 2), rig.Read(1, "a", 0, 4096).Data);
        blocker.Seen.Clear();
        Assert.Equal(0, rig.Do(XsegOp.Flush, 2, "").Status);
        Assert.Contains(blocker.Of(XsegOp.Flush), seen => seen.Flow == 2);
    }

    /// <summary>WRITE_ZEROES has no page here from which it could be written again: the guest must hear of it.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AFailedFlushOfOurOwnIsToldToTheUserIfChangesWentAroundTheCache(bool killed)
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        LoseZeroes(rig, blocker);
        if (killed) rig.RestartCache();
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "", flags: RequestFlags.Housekeeping).Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 2, "").Status);
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
    }

    [Fact]
    public void FlushesBesideEachOtherAllHearOfWhatIsLost()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        LoseZeroes(rig, blocker);
        blocker.Hold = request => request.Op == XsegOp.Flush;
        rig.Do(XsegOp.WriteZeroes, 1, "a", 0, 4096);
        var flushes = Enumerable.Range(0, 3).Select(_ => rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""))).ToList();
        rig.World.RunUntil(() => blocker.Held == 3, "flushes");
        blocker.Release();
        rig.World.RunUntil(() => flushes.TrueForAll(flush => flush.IsCompleted), "flushes");
        Assert.All(flushes, flush => Assert.Equal(XsegErrno.EIO, flush.Result.Status));
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
    }

    [Fact]
    public void AFailedFlushOfOurOwnIsNotToldIfAllOfItIsHereToBeWrittenAgain()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Do(XsegOp.WriteZeroes, 1, "a", 0, 4096);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        rig.Write(1, "a", 0, Rig.Fill(4096, 1));
        blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "", flags: RequestFlags.Housekeeping).Status);
        blocker.Fail = null;
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(Rig.Fill(4096, 1), rig.ReadBelow(1, "a", 0, 4096).Data);
    }

    /// <summary>A change that was under way while a FLUSH failed may be lost with it, though it is answered later.</summary>
    [Fact]
    public void AChangeThatAFailingFlushOvertookIsToldToo()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Write(1, "b", 0, Rig.Fill(4096, 1));
        blocker.Hold = request => request.Op == XsegOp.WriteZeroes;
        blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        var zeroes = rig.Start(() => rig.Client.IssueAsync(XsegOp.WriteZeroes, 1, "a", 0, 4096));
        rig.World.RunUntil(() => blocker.Held == 1, "zeroes");
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "", flags: RequestFlags.Housekeeping).Status);
        blocker.Fail = null;
        blocker.Release();
        rig.World.RunUntil(() => zeroes.IsCompleted, "zeroes");
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
    }

    /// <summary>Zeroes that the blocker has, and a FLUSH that nobody but the cache asked for and that failed.</summary>
    private static void LoseZeroes(Rig rig, RecordingBlocker blocker)
    {
        rig.Do(XsegOp.Flush, 1, "");
        Assert.Equal(0, rig.Do(XsegOp.WriteZeroes, 1, "a", 0, 8192).Status);
        blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "", flags: RequestFlags.Housekeeping).Status);
        blocker.Fail = null;
    }

    /// <summary>What went around a predecessor its successor does not know; a FLUSH that fails in its time may have lost that.</summary>
    [Fact]
    public void AFailedFlushOfOurOwnIsToldToTheUserIfWhatWentAroundTheCacheDidSoBeforeAKill()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        rig.Do(XsegOp.Flush, 1, "");
        Assert.Equal(0, rig.Do(XsegOp.WriteZeroes, 1, "a", 0, 8192).Status);
        rig.RestartCache();
        blocker.Fail = request => request.Op == XsegOp.Flush ? XsegErrno.EIO : 0;
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "", flags: RequestFlags.Housekeeping).Status);
        blocker.Fail = null;
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
    }

    /// <summary>The teller may have died before its answer was out: a replay of the FLUSH that was told is told again.</summary>
    [Fact]
    public unsafe void WhatWasToldIsToldAgainUntilAnotherFlushBegins()
    {
        var (rig, blocker) = Make();
        using var _ = rig;
        LoseZeroes(rig, blocker);
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(2, rig.ClientProcess.Segment.FlowAt(1)->FlushOwed);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(0, rig.ClientProcess.Segment.FlowAt(1)->FlushOwed);
    }
}
