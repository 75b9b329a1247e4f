using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached.Tests;

/// <summary>When dirty data's turn comes, and how many blocker writes it takes at a time.</summary>
public sealed class PaceTests
{
    private static readonly CachedOptions Patient = new() { Pages = 256, DirtyAge = TimeSpan.FromHours(1), DestageRatio = 0.25, DirtyRatio = 0.75 };

    private static (Rig, RecordingBlocker) Make(CachedOptions options, MemdOptions? memd = null)
    {
        var blocker = new RecordingBlocker(new MemdPeer(memd ?? new MemdOptions()));
        var rig = new Rig(1, options, blocker: blocker);
        rig.SetPolicy(1, CachePolicy.WriteBack);
        return (rig, blocker);
    }

    /// <summary>Dirties pages that are no neighbours, so that each is a write of its own.</summary>
    private static void Dirty(Rig rig, ulong first, ulong count)
    {
        for (ulong bucket = first; bucket < first + count; bucket++) rig.Write(1, $"o{bucket % 4}", bucket * 8192, Rig.Fill(4096, bucket));
    }

    [Fact]
    public void BelowTheWatermarkOnlyAgeCounts()
    {
        var (rig, blocker) = Make(Patient);
        using var _ = rig;
        Dirty(rig, 0, 64);
        rig.World.RunFor(TimeSpan.FromSeconds(60));
        Assert.Empty(blocker.Of(XsegOp.Write));
    }

    [Theory]
    [InlineData(66, 4.8, 5.1)]
    [InlineData(128, 2.4, 2.6)]
    [InlineData(176, 0.5, 0.75)]
    public void AboveTheWatermarkDataGoesDownTheYoungerTheMoreIsDirtyWhileThePoolIsFarFromEmpty(int pages, double from, double to)
    {
        var (rig, blocker) = Make(Patient);
        using var _ = rig;
        long start = rig.World.Clock.Now;
        Dirty(rig, 0, (ulong)pages);
        rig.World.RunFor(TimeSpan.FromSeconds(6));
        Assert.InRange((blocker.Of(XsegOp.Write).First().At - start) / 1e9, from, to);
        Assert.True(rig.Cached.Context.Port.Pages.Count > 60);
    }

    [Fact]
    public void WhatIsWrittenOverAndOverBelowTheLimitGoesDownOnceInFiveSecondsAndInLongRuns()
    {
        var (rig, blocker) = Make(Patient);
        using var _ = rig;
        long end = rig.World.Clock.Now + 20_000_000_000;
        ulong writes = 0;
        while (rig.World.Clock.Now < end)
        {
            for (ulong bucket = 0; bucket < 80; bucket++, writes++) rig.Write(1, "a", bucket * 4096, Rig.Fill(4096, writes));
            rig.World.RunFor(TimeSpan.FromMilliseconds(100));
        }

        Assert.True(writes > 10_000);
        Assert.InRange(blocker.Of(XsegOp.Write).Sum(write => (long)write.Length) / (80 * 4096.0), 3, 6);
        Assert.InRange(blocker.Of(XsegOp.Write).Count(), 3, 12);
    }

    [Fact]
    public void WhatNobodyWaitsForTakesFewWritesAtATimeAndAFlushAllOfThem()
    {
        var (rig, blocker) = Make(Patient with { DirtyAge = TimeSpan.FromSeconds(10) });
        using var _ = rig;
        Dirty(rig, 0, 60);
        blocker.Hold = request => request.Op == XsegOp.Write;
        rig.World.RunFor(TimeSpan.FromSeconds(10.2));
        Assert.InRange(blocker.Held, 4, 5);
        var flush = rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        rig.World.RunFor(TimeSpan.FromMilliseconds(10));
        Assert.Equal(32, blocker.Held);
        blocker.Release();
        rig.World.RunUntil(() => flush.IsCompleted, "flush");
        Assert.Equal(0, rig.Store.DirtyPages);
    }

    [Fact]
    public void WhatABlockerIsTooSlowToTakeInTimeGetsMoreWritesAtATime()
    {
        var (rig, blocker) = Make(Patient with { DirtyAge = TimeSpan.FromSeconds(1) });
        using var _ = rig;
        Dirty(rig, 0, 60);
        blocker.Hold = request => request.Op == XsegOp.Write;
        rig.World.RunFor(TimeSpan.FromSeconds(1.1));
        int few = blocker.Held;
        rig.World.RunFor(TimeSpan.FromSeconds(2));
        Assert.InRange(few, 4, 8);
        Assert.True(blocker.Held > few);
    }

    [Fact]
    public void WhoeverFindsNoRoomGetsTheFullDepth()
    {
        var (rig, blocker) = Make(Patient);
        using var _ = rig;
        blocker.Hold = request => request.Op == XsegOp.Write;
        Dirty(rig, 0, 190);
        var waiting = rig.Start(() => rig.Client.WriteAsync(1, "b", 0, Rig.Fill(4 * 4096, 1)));
        rig.World.RunFor(TimeSpan.FromMilliseconds(20));
        Assert.False(waiting.IsCompleted);
        Assert.Equal(32, blocker.Held);
        blocker.Release();
        rig.World.RunUntil(() => waiting.IsCompleted, "write");
        Assert.Equal(0, waiting.Result.Status);
    }

    [Fact]
    public void AFlowThatIsMoreThanTheBlockerTakesDoesNotKeepAnotherOnesDataFromItsAge()
    {
        var (rig, blocker) = Make(new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromSeconds(1), DestageDepth = 4, DirtyRatio = 0.9 }, new MemdOptions { Latency = TimeSpan.FromMilliseconds(20) });
        using var _ = rig;
        rig.SetPolicy(2, CachePolicy.WriteBack);
        bool stop = false;
        async Task<int> Busy(int writer)
        {
            for (ulong i = 0; !stop; i++) await rig.Client.WriteAsync(1, $"o{(writer * 7 + (int)i) % 40}", i % 16 * 8192, Rig.Fill(4096, i));
            return 0;
        }

        var busy = Enumerable.Range(0, 16).Select(writer => rig.Start(() => Busy(writer))).ToList();
        rig.World.RunFor(TimeSpan.FromSeconds(2));
        rig.Write(2, "quiet", 0, Rig.Fill(4096, 1));
        rig.World.RunFor(TimeSpan.FromSeconds(2));
        Assert.Contains(blocker.Of(XsegOp.Write), write => write.Name == "quiet");
        stop = true;
        rig.World.RunUntil(() => busy.TrueForAll(writer => writer.IsCompleted), "writers");
    }

    [Fact]
    public void ReadsThatWaitForOtherReadsHurryNothing()
    {
        var (rig, blocker) = Make(Patient with { FillDepth = 1 });
        using var _ = rig;
        Dirty(rig, 0, 20);
        blocker.Hold = request => request.Op == XsegOp.Read;
        var reads = Enumerable.Range(0, 8).Select(at => rig.Start(() => rig.Client.ReadAsync(1, "cold", (ulong)at * 8192, 4096))).ToList();
        rig.World.RunFor(TimeSpan.FromSeconds(1));
        Assert.Equal(1, blocker.Held);
        Assert.Empty(blocker.Of(XsegOp.Write));
        Assert.Empty(blocker.Of(XsegOp.Flush));
        blocker.Release();
        rig.World.RunUntil(() => reads.TrueForAll(read => read.IsCompleted), "reads");
    }
}
