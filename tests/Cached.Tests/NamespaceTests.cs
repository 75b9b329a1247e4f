using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Tables;

namespace Archipelago.Cached.Tests;

/// <summary>Images and maps have policies and shares of their own: they never take more than that, whatever else is cached, nor what is volumes'.</summary>
public sealed class NamespaceTests
{
    private const RequestFlags Shared = RequestFlags.Shared;

    private static Rig Make(CachedOptions options, RecordingBlocker? blocker = null)
    {
        var rig = new Rig(1, options with { Pages = 256, DirtyAge = TimeSpan.FromHours(1) }, blocker: blocker ?? new RecordingBlocker(new MemdPeer(new MemdOptions { Stable = false })));
        for (uint flow = 1; flow <= 3; flow++) rig.SetPolicy(flow, CachePolicy.WriteBack);
        return rig;
    }

    private static void Below(Rig rig, string name, ulong stamp) => Assert.Equal(0, rig.Run(() => rig.Client.WriteAsync(1, name, 0, Rig.Fill(32768, stamp), route: rig.Client.Blocks)).Status);

    private static void Reads(Rig rig, string name, ulong stamp, uint flow = 1, RequestFlags flags = Shared) =>
        Assert.Equal(Rig.Fill(32768, stamp), rig.Read(flow, name, 0, 32768, flags: flags).Data);

    private static CacheSpace Space(Rig rig, string name) => Assert.Single(rig.Cached.Collect().Namespaces, space => space.Namespace == name);

    private static Task<CacheStatistics> Change(Rig rig, string? space, string policy, string? volume = null)
    {
        var task = rig.CacheProcess.Reactor.Run(() => rig.Cached.ChangePolicy(new CachePolicyChange(volume, policy, Namespace: space)));
        rig.World.RunUntil(() => task.IsCompleted, "change of the policy");
        return task;
    }

    private static uint Maps(Rig rig)
    {
        uint maps = FlowTable.FindOrAdd(rig.ClientProcess.Segment, FlowTable.MapsName, FlowSpace.Maps);
        rig.SetPolicy(maps, CachePolicy.Default);
        return maps;
    }

    private static void End(Rig rig)
    {
        rig.World.RunFor(TimeSpan.FromMilliseconds(20));
        Conservation.Check(rig);
        foreach (var share in rig.Store.Shares) Assert.Equal(rig.Store.Flows.Where(flow => flow.Share == share).Sum(flow => flow.Pages), share.Pages);
    }

    [Fact]
    public void ImagesAboveTheirShareReplaceEachOtherAndNoVolumesPages()
    {
        // 64 of 256 pages.
        using var rig = Make(new CachedOptions { ImagesShare = 0.25 });
        for (ulong i = 0; i < 12; i++)
        {
            Below(rig, $"v{i}", 100 + i);
            Reads(rig, $"v{i}", 100 + i, flags: RequestFlags.None);
        }

        long evictions = rig.Store.Evictions;
        for (ulong i = 0; i < 40; i++)
        {
            Below(rig, $"i{i}", 1 + i);
            Reads(rig, $"i{i}", 1 + i, flow: 1 + (uint)(i % 3));
            Assert.True(rig.Store.Shares[FlowSpace.Shared].Pages <= 64);
        }

        Assert.Equal((64L << 12, 64L << 12), (Space(rig, "images").CachedBytes, Space(rig, "images").MostBytes));
        Assert.Equal(96, rig.Store.Shares[FlowSpace.Data].Pages);
        Assert.Equal((40 - 8) * 8, rig.Store.Evictions - evictions);
        // What came last is there; and a restart finds it, within the share.
        Reads(rig, "i39", 40);
        rig.RestartCache();
        Assert.Equal(64, rig.Store.Shares[FlowSpace.Shared].Pages);
        Below(rig, "another", 99);
        Reads(rig, "another", 99);
        Assert.Equal((64L, 96L), (rig.Store.Shares[FlowSpace.Shared].Pages, rig.Store.Shares[FlowSpace.Data].Pages));
        End(rig);
    }

    [Fact]
    public void WhatIsReadAgainHasASecondChance()
    {
        using var rig = Make(new CachedOptions { ImagesShare = 0.25 });
        for (ulong i = 0; i < 30; i++)
        {
            Below(rig, $"i{i}", 1 + i);
            Reads(rig, $"i{i}", 1 + i);
            Reads(rig, "i0", 1);
        }

        // But for the first time round, when all have had one use since they came.
        Assert.Equal(29, Space(rig, "images").Hits);
        Assert.Equal((31L, 0L, 0L), (Space(rig, "images").Misses, Space(rig, "volumes").Hits, Space(rig, "volumes").Misses));
        End(rig);
    }

    [Fact]
    public void ReadsOfMoreThanTheShareGoAroundTheCache()
    {
        using var rig = Make(new CachedOptions { ImagesShare = 0.02 });
        Below(rig, "i", 1);
        Reads(rig, "i", 1);
        Assert.Equal(0, rig.Store.Shares[FlowSpace.Shared].Pages);
        for (ulong at = 0; at < 8; at++) Assert.Equal(Rig.Fill(4096, 1), rig.Read(1, "i", at * 4096, 4096, flags: Shared).Data);
        Assert.Equal(5, rig.Store.Shares[FlowSpace.Shared].Pages);
        End(rig);
    }

    [Fact]
    public void ASmallerShareHoldsFromTheNextStartOn()
    {
        using var rig = Make(new CachedOptions());
        for (ulong i = 0; i < 10; i++)
        {
            Below(rig, $"i{i}", 1 + i);
            Reads(rig, $"i{i}", 1 + i);
        }

        rig.CacheOptions = rig.Options with { ImagesShare = 0.1 };
        rig.RestartCache();
        Assert.Equal(25, rig.Store.Shares[FlowSpace.Shared].Pages);
        for (ulong i = 0; i < 10; i++) Reads(rig, $"i{i}", 1 + i);
        rig.CacheOptions = rig.Options with { ImagesPolicy = CachePolicy.Off };
        rig.RestartCache();
        Assert.Equal(0, rig.Store.Shares[FlowSpace.Shared].Pages);
        Reads(rig, "i0", 1);
        Assert.Equal(0, rig.Store.Buckets.Count);
        End(rig);
    }

    [Fact]
    public async Task PoliciesOfNamespacesChangeOnlineAndAVolumeOfThatNameHasItsOwn()
    {
        using var rig = Make(new CachedOptions());
        uint volume = FlowTable.FindOrAdd(rig.ClientProcess.Segment, "images"u8);
        Assert.Equal(("default", "writethrough"), (Space(rig, "images").Policy, Space(rig, "images").InForce));
        Below(rig, "i", 1);
        Reads(rig, "i", 1);
        await Change(rig, "images", "off");
        Assert.Equal(("off", "off", 0L), (Space(rig, "images").Policy, Space(rig, "images").InForce, Space(rig, "images").CachedBytes));
        Reads(rig, "i", 1);
        Assert.Equal(0, rig.Store.Buckets.Count);
        await Change(rig, "images", "writethrough");
        Reads(rig, "i", 1);
        Assert.Equal(8, rig.Store.Buckets.Count);
        await Change(rig, null, "writeback", "images");
        Assert.Equal((CachePolicy.WriteBack, "writethrough"), (PolicyOf(rig, volume), Space(rig, "images").Policy));
        await Change(rig, "maps", "writethrough");
        Assert.Equal(("writethrough", "writethrough"), (Space(rig, "maps").Policy, Space(rig, "maps").InForce));
        foreach (var (space, policy, name) in new[] { ("images", "writeback", (string?)null), ("maps", "writeback", null), ("volumes", "off", null), ("images", "off", "flow1") })
            Assert.Equal(Errno.EINVAL, (await Assert.ThrowsAsync<ErrnoException>(() => Change(rig, space, policy, name))).Errno);
        End(rig);
    }

    [Fact]
    public void ImagesAreNotKeptWhereNothingIsUnlessThatIsAskedFor()
    {
        using var none = Make(new CachedOptions { DefaultPolicy = CachePolicy.Off });
        using var kept = Make(new CachedOptions { DefaultPolicy = CachePolicy.Off, ImagesPolicy = CachePolicy.WriteThrough });
        Assert.Equal(("off", "writethrough"), (Space(none, "images").InForce, Space(kept, "images").InForce));
    }

    [Fact]
    public void MapsAreNeverWrittenBackAndStayWithinTheirShare()
    {
        var blocker = new RecordingBlocker(new MemdPeer(new MemdOptions { Stable = false }));
        using var rig = Make(new CachedOptions { MapsPolicy = CachePolicy.WriteThrough, MapsShare = 0.0625 }, blocker);
        uint maps = Maps(rig);
        // Not by its entry either.
        rig.SetPolicy(maps, CachePolicy.WriteBack);
        rig.Do(XsegOp.Flush, maps, "");
        for (ulong i = 0; i < 12; i++)
        {
            Assert.Equal(0, rig.Write(maps, $"m{i}", 0, Rig.Fill(8192, 1 + i)).Status);
            Assert.Equal(0, rig.Store.DirtyPages);
            Assert.Equal(Rig.Fill(8192, 1 + i), rig.ReadBelow(maps, $"m{i}", 0, 8192).Data);
            Assert.True(rig.Store.Shares[FlowSpace.Maps].Pages <= 16);
        }

        Assert.Equal(16, rig.Store.Shares[FlowSpace.Maps].Pages);
        Assert.Equal(0, rig.Do(XsegOp.Flush, maps, "").Status);
        for (ulong i = 0; i < 12; i++) Assert.Equal(Rig.Fill(8192, 1 + i), rig.Read(maps, $"m{i}", 0, 8192).Data);
        Assert.Equal(16, rig.Store.Shares[FlowSpace.Maps].Pages);
        Assert.Equal(16L << 12, Space(rig, "maps").CachedBytes);
        End(rig);
    }

    [Fact]
    public void MapsAreNotCachedUnlessThatIsAskedFor()
    {
        using var rig = Make(new CachedOptions());
        uint maps = Maps(rig);
        Assert.Equal(0, rig.Write(maps, "m", 0, Rig.Fill(8192, 1)).Status);
        Assert.Equal(Rig.Fill(8192, 1), rig.Read(maps, "m", 0, 8192).Data);
        Assert.Equal((0, "off"), (rig.Store.Buckets.Count, Space(rig, "maps").InForce));
        End(rig);
    }

    private static unsafe CachePolicy PolicyOf(Rig rig, uint flow) => (CachePolicy)rig.ClientProcess.Segment.FlowAt(flow)->Policy;
}
