using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;

namespace Archipelago.Cached.Tests;

/// <summary>A cache without room: it goes at its blocker's speed, fails nothing and hangs nothing.</summary>
public sealed class FullCacheTests
{
    private static Rig Make(Placement placement, int pages = 64, MemdOptions? memd = null, int slots = 256, double dirty = 0.75)
    {
        var rig = new Rig(3, new CachedOptions { Pages = pages, DirtyAge = TimeSpan.FromHours(1), DirtyRatio = dirty }, placement, memd ?? new MemdOptions { Stable = false }, slots: slots, sparePages: 8);
        rig.SetPolicy(1, CachePolicy.WriteBack);
        return rig;
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void TenTimesTheCacheIsWrittenAndRead(int placement)
    {
        using var rig = Make((Placement)placement, memd: new MemdOptions { Stable = false, Latency = TimeSpan.FromMicroseconds(placement == 0 ? 0 : 200) });
        var writes = new List<Task<Reply>>();
        for (ulong i = 0; i < 640; i++)
        {
            ulong bucket = i;
            writes.Add(rig.Start(() => rig.Client.WriteAsync(1, $"o{bucket % 7}", bucket * 4096, Rig.Fill(4096, bucket + 1))));
            if (writes.Count(write => !write.IsCompleted) > 30) rig.World.RunUntil(() => writes.Count(write => !write.IsCompleted) < 10, "writes");
        }

        rig.World.RunUntil(() => writes.TrueForAll(write => write.IsCompleted), "writes");
        Assert.All(writes, write => Assert.Equal(0, write.Result.Status));
        for (ulong i = 0; i < 640; i++) Assert.Equal(Rig.Fill(4096, i + 1), rig.Read(1, $"o{i % 7}", i * 4096, 4096).Data);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        rig.World.RunFor(TimeSpan.FromSeconds(1));
        Conservation.Check(rig);
    }

    [Fact]
    public void MoreWaitersThanPagesGetThrough()
    {
        using var rig = Make(Placement.Apart, memd: new MemdOptions { Stable = false, Latency = TimeSpan.FromMilliseconds(1) });
        var writes = Enumerable.Range(0, 200).Select(i => rig.Start(() => rig.Client.WriteAsync(1, $"o{i % 3}", (ulong)i * 4096, Rig.Fill(4096, (ulong)i + 1)))).ToList();
        rig.World.RunUntil(() => writes.TrueForAll(write => write.IsCompleted), "writes");
        Assert.All(writes, write => Assert.Equal(0, write.Result.Status));
    }

    [Fact]
    public void ManySlowReadersDoNotStopWriters()
    {
        using var rig = Make(Placement.Apart, pages: 256);
        bool release = false;
        for (ulong i = 0; i < 100; i++) rig.Write(1, "a", i * 4096, Rig.Fill(4096, 1), RequestFlags.ForceUnitAccess);
        var reads = Enumerable.Range(0, 100).Select(i => rig.Start(() => rig.Client.ReadAsync(1, "a", (ulong)i * 4096, 4096, whileLent: async (then, now) =>
        {
            while (!release) await rig.Client.Context.Reactor.Delay(TimeSpan.FromMilliseconds(5));
            Assert.Equal(then, now());
        }))).ToList();
        rig.World.RunFor(TimeSpan.FromMilliseconds(10));
        for (ulong i = 0; i < 600; i++) Assert.Equal(0, rig.Write(1, "b", i % 900 * 4096, Rig.Fill(4096, 2)).Status);
        Assert.DoesNotContain(reads, read => read.IsCompleted);
        release = true;
        rig.World.RunUntil(() => reads.TrueForAll(read => read.IsCompleted), "reads");
        Assert.All(reads, read => Assert.Equal(Rig.Fill(4096, 1), read.Result.Data));
    }

    [Fact]
    public void FewSlotsDoNotStopFillsAndDestaging()
    {
        using var rig = Make(Placement.Apart, slots: 16, memd: new MemdOptions { Latency = TimeSpan.FromMicroseconds(100), Stable = false });
        var work = new List<Task<Reply>>();
        for (int i = 0; i < 300; i++)
        {
            int at = i;
            work.Add(rig.Start(() => at % 2 == 0 ? rig.Client.WriteAsync(1, $"o{at % 5}", (ulong)at * 4096, Rig.Fill(4096, 1)) : rig.Client.ReadAsync(1, $"o{at % 5}", (ulong)(at * 37 % 900) * 4096, 32768)));
        }

        rig.World.RunUntil(() => work.TrueForAll(one => one.IsCompleted), "requests");
        Assert.All(work, one => Assert.Equal(0, one.Result.Status));
    }

    [Fact]
    public void MoreObjectsThanEntriesGetThrough()
    {
        using var rig = Make(Placement.Apart, pages: 256);
        for (ulong i = 0; i < 300; i++) Assert.Equal(0, rig.Write(1, $"o{i}", 0, Rig.Fill(4096, i + 1)).Status);
        for (ulong i = 0; i < 300; i++) Assert.Equal(Rig.Fill(4096, i + 1), rig.Read(1, $"o{i}", 0, 4096).Data);
        for (ulong i = 0; i < 300; i++) Assert.Equal(0, rig.Do(XsegOp.Discard, 1, $"o{i}", 0, 4096).Status);
    }

    [Fact]
    public void StablePagesGoFirstAndWhatWasUsedAgainStays()
    {
        using var rig = Make(Placement.Apart, pages: 256);
        for (ulong i = 0; i < 64; i++) rig.Write(1, "dirty", i * 4096, Rig.Fill(4096, 1));
        for (ulong i = 0; i < 100; i++) rig.Read(1, "cold", i * 4096, 4096);
        for (ulong i = 0; i < 20; i++) rig.Read(1, "warm", i * 4096, 4096);
        for (ulong i = 0; i < 20; i++) rig.Read(1, "warm", i * 4096, 4096);
        for (ulong i = 0; i < 120; i++)
        {
            rig.Read(1, "scan", i * 4096, 4096);
            if (i % 10 == 0) for (ulong j = 0; j < 20; j++) rig.Read(1, "warm", j * 4096, 4096);
        }

        Assert.Equal(64, rig.Store.DirtyPages);
        Assert.True(rig.Store.Evictions > 0);
        Assert.Equal(20, rig.Store.Find(Hash128.Of("warm"u8))!.Pages);
        Assert.True(rig.Store.Find(Hash128.Of("cold"u8))!.Pages < 100);
    }

    [Fact]
    public void WriteToAnObjectWhoseLastPageGoesForItIsKept()
    {
        using var rig = Make(Placement.Apart);
        for (ulong round = 1; round <= 6; round++)
        {
            for (ulong i = 0; i < 60; i++) rig.Write(1, $"o{i}", 0, Rig.Fill(4096, (round * 100) + i), RequestFlags.ForceUnitAccess);
            for (ulong i = 0; i < 60; i++) rig.Write(1, $"o{i}", 8192, Rig.Fill(512, (round * 100) + i));
            for (ulong i = 0; i < 60; i++) Assert.Equal(Rig.Fill(512, (round * 100) + i), rig.Read(1, $"o{i}", 8192, 512).Data);
        }

        rig.Do(XsegOp.Flush, 1, "");
        rig.World.RunFor(TimeSpan.FromSeconds(1));
        Conservation.Check(rig);
    }

    [Fact]
    public void ALargeWriteIsServedInItsTurnWhileSmallOnesKeepTheCacheFull()
    {
        using var rig = Make(Placement.Apart, pages: 256, memd: new MemdOptions { Latency = TimeSpan.FromMilliseconds(1) });
        bool stop = false;
        async Task<int> Small(int writer)
        {
            int writes = 0;
            for (ulong i = 0; !stop; i++, writes++) await rig.Client.WriteAsync(1, $"o{writer % 8}", (((ulong)writer * 61) + i) % 900 * 4096, Rig.Fill(4096, i));
            return writes;
        }

        var small = Enumerable.Range(0, 32).Select(writer => rig.Start(() => Small(writer))).ToList();
        rig.World.RunFor(TimeSpan.FromMilliseconds(200));
        var large = rig.Start(() => rig.Client.WriteAsync(1, "large", 0, Rig.Fill(60 * 4096, 1)));
        rig.World.RunFor(TimeSpan.FromSeconds(1));
        Assert.True(large.IsCompleted);
        stop = true;
        rig.World.RunUntil(() => small.TrueForAll(writer => writer.IsCompleted), "writers");
        Assert.Equal(Rig.Fill(60 * 4096, 1), rig.Read(1, "large", 0, 60 * 4096).Data);
    }

    [Fact]
    public void AWriteLargerThanItsFlowsShareIsServedWhileAnotherFlowKeepsTheCacheFull()
    {
        using var rig = Make(Placement.Apart, pages: 256, memd: new MemdOptions { Latency = TimeSpan.FromMilliseconds(1) });
        rig.SetPolicy(2, CachePolicy.WriteBack);
        bool stop = false;
        async Task<int> Small(int writer)
        {
            for (ulong i = 0; !stop; i++) await rig.Client.WriteAsync(1, $"o{writer % 8}", (((ulong)writer * 61) + i) % 900 * 4096, Rig.Fill(4096, i));
            return 0;
        }

        var small = Enumerable.Range(0, 32).Select(writer => rig.Start(() => Small(writer))).ToList();
        rig.World.RunFor(TimeSpan.FromMilliseconds(200));
        var large = rig.Start(() => rig.Client.WriteAsync(2, "large", 0, Rig.Fill(60 * 4096, 1)));
        rig.World.RunFor(TimeSpan.FromSeconds(1));
        Assert.True(large.IsCompleted);
        stop = true;
        rig.World.RunUntil(() => small.TrueForAll(writer => writer.IsCompleted), "writers");
    }
}
