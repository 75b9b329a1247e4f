using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached.Tests;

/// <summary>
/// Each protocol of the cache is stopped before store k, for every k; then a new cache on the same segment must hold what was
/// acknowledged, finish what was not, tear nothing and lose no page (design 10).
/// </summary>
public sealed class CrashPointTests
{
    [Fact]
    public void AdoptFullPage() => EveryStore(_ => { }, rig => Writing(rig, 0, 4096, 2));

    [Fact]
    public void AdoptOverAnOlderPage() => EveryStore(rig => Old(rig, 4096), rig => Writing(rig, 0, 4096, 2));

    [Fact]
    public void MergePartialPageOverAnOlderPage() => EveryStore(rig => Old(rig, 4096), rig => Writing(rig, 1024, 512, 2));

    [Fact]
    public void PartialPageAlone() => EveryStore(_ => { }, rig => Writing(rig, 1536, 1024, 2));

    [Fact]
    public void AdoptManyPagesMisaligned() => EveryStore(rig => Old(rig, 12288), rig => Writing(rig, 512, 4 * 4096, 2));

    [Fact]
    public void AdoptThroughAnIndirectList() => EveryStore(_ => { }, rig => Writing(rig, 0, 30 * 4096, 2), stride: 7);

    [Fact]
    public void FillAndKeep() => EveryStore(rig => Below(rig, 8192), rig => rig.Start(() => rig.Client.ReadAsync(1, "a", 0, 8192)));

    [Fact]
    public void FillUnderAPartialDirtyPage() => EveryStore(rig =>
    {
        Below(rig, 4096);
        rig.Write(1, "a", 512, Rig.Fill(512, 5));
    }, rig => rig.Start(() => rig.Client.ReadAsync(1, "a", 0, 4096)));

    [Fact]
    public void DestageAndFlush() => EveryStore(rig => Old(rig, 12288), rig => rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, "")));

    [Fact]
    public void DestageOfFragments() => EveryStore(rig =>
    {
        rig.Write(1, "a", 0, Rig.Fill(512, 1));
        rig.Write(1, "a", 1024, Rig.Fill(512, 1));
        rig.Write(1, "a", 3072, Rig.Fill(512, 1));
    }, rig => rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, "")));

    [Fact]
    public void WriteThrough() => EveryStore(rig =>
    {
        Old(rig, 4096);
        rig.SetPolicy(1, CachePolicy.WriteThrough);
    }, rig => Writing(rig, 512, 4096, 2));

    [Fact]
    public void Discard() => EveryStore(rig => Old(rig, 12288), rig => rig.Start(() => rig.Client.IssueAsync(XsegOp.Discard, 1, "a", 512, 8192)));

    [Fact]
    public void Delete() => EveryStore(rig => Old(rig, 8192), rig => rig.Start(() => rig.Client.IssueAsync(XsegOp.Delete, 1, "a")));

    [Fact]
    public void Eviction() => EveryStore(rig =>
    {
        Old(rig, 4096);
        rig.Do(XsegOp.Flush, 1, "");
        for (ulong i = 0; i < 90; i++) rig.Read(1, "b", i * 4096, 4096);
    }, rig => rig.Start(async () =>
    {
        for (ulong i = 0; i < 4; i++) await rig.Client.ReadAsync(1, "c", i * 32768, 32768);
        return new Reply(0);
    }), stride: 5);

    [Fact]
    public void FillOfWhatIsShared() => EveryStore(rig => Below(rig, 8192), rig => rig.Start(() => rig.Client.ReadAsync(2, "a", 0, 8192, flags: RequestFlags.Shared)));

    [Fact]
    public void ADirtyObjectIsTakenToBeShared() => EveryStore(rig => Old(rig, 8192), rig => rig.Start(() => rig.Client.ReadAsync(2, "a", 0, 8192, flags: RequestFlags.Shared)));

    [Fact]
    public void ASharedObjectIsTakenBack() => EveryStore(rig =>
    {
        Below(rig, 8192);
        rig.Read(2, "a", 0, 8192, flags: RequestFlags.Shared);
    }, rig => rig.Start(() => rig.Client.ReadAsync(1, "a", 0, 8192)));

    [Fact]
    public void ASharedObjectIsWritten() => EveryStore(rig =>
    {
        Below(rig, 8192);
        rig.Read(2, "a", 0, 8192, flags: RequestFlags.Shared);
    }, rig => Writing(rig, 512, 4096, 2));

    [Theory]
    [InlineData(RequestFlags.Shared)]
    [InlineData(RequestFlags.Shared | RequestFlags.ForceUnitAccess)]
    public void CopyFromPages(RequestFlags flags) => EveryStore(rig =>
    {
        Assert.Equal(0, rig.Run(() => rig.Client.WriteAsync(2, "image", 0, Rig.Fill(20000, 1), route: rig.Client.Blocks)).Status);
        rig.Read(2, "image", 0, 20480, flags: RequestFlags.Shared);
    }, rig => rig.Start(() => rig.Client.IssueAsync(XsegOp.Copy, 1, "a", 0, 1 << 20, flags, "image")));

    [Fact]
    public void CopyOverWhatIsThere() => EveryStore(rig =>
    {
        Old(rig, 32768);
        rig.Write(1, "image", 0, Rig.Fill(16384, 2));
    }, rig => rig.Start(() => rig.Client.IssueAsync(XsegOp.Copy, 1, "a", 0, 1 << 20, source: "image")));

    [Fact]
    public void Invalidate() => EveryStore(rig =>
    {
        Old(rig, 12288);
        rig.Do(XsegOp.Flush, 1, "");
        rig.Write(1, "a", 0, Rig.Fill(4096, 2));
        rig.Write(1, "a", 8704, Rig.Fill(512, 2));
        rig.Write(1, "b", 0, Rig.Fill(8192, 3));
    }, rig => rig.Start(() => rig.Client.IssueAsync(XsegOp.Invalidate, 1, "")));

    [Fact]
    public void Retire() => EveryStore(rig =>
    {
        Old(rig, 12288);
        rig.Do(XsegOp.Flush, 1, "");
        rig.Write(1, "a", 0, Rig.Fill(4096, 2));
        rig.Write(1, "a", 8704, Rig.Fill(512, 2));
        rig.Write(1, "b", 0, Rig.Fill(8192, 3));
    }, rig => rig.Start(() => rig.Client.IssueAsync(XsegOp.Retire, 1, "")));

    private static Task<Reply> Writing(Rig rig, ulong offset, int length, ulong stamp) => rig.Start(() => rig.Client.WriteAsync(1, "a", offset, Rig.Fill(length, stamp)));

    private static void Old(Rig rig, int length) => Assert.Equal(0, rig.Write(1, "a", 0, Rig.Fill(length, 1)).Status);

    private static void Below(Rig rig, int length) =>
        Assert.Equal(0, rig.Run(() => rig.Client.WriteAsync(1, "a", 0, Rig.Fill(length, 1), route: rig.Client.Blocks)).Status);

    private static Rig Make(Action<Rig> before)
    {
        var rig = new Rig(1, new CachedOptions { Pages = 64, DirtyAge = TimeSpan.FromHours(1) }, Placement.Apart, new MemdOptions { Stable = false }, clientPages: 200, slots: 32);
        rig.SetPolicy(1, CachePolicy.WriteBack);
        before(rig);
        return rig;
    }

    private static void EveryStore(Action<Rig> before, Func<Rig, Task<Reply>> protocol, int stride = 1)
    {
        const int Bytes = 128 * 1024;
        byte[] expected;
        using (var rig = Make(before))
        {
            var reply = protocol(rig);
            rig.World.RunUntil(() => reply.IsCompleted, "the protocol");
            expected = rig.Read(1, "a", 0, Bytes, own: true).Data!;
        }

        bool died = true;
        int stores = 0;
        for (; died; stores += stride)
        {
            using var rig = Make(before);
            rig.CacheProcess.KillBeforeStore(stores);
            var first = rig.CacheProcess;
            var reply = protocol(rig);
            rig.World.RunUntil(() => reply.IsCompleted || !first.IsAlive, $"store {stores}");
            died = !first.IsAlive;
            if (died) rig.RestartCache();
            else rig.CacheProcess.KillBeforeStore(-1);
            rig.World.RunUntil(() => reply.IsCompleted, $"the replay after store {stores}");
            Assert.Equal(0, reply.Result.Status);
            rig.World.RunFor(TimeSpan.FromMilliseconds(20));
            try
            {
                Conservation.Check(rig);
            }
            catch (Exception wrong)
            {
                throw new Xunit.Sdk.XunitException($"after store {stores}: {wrong.Message}");
            }

            Assert.True(expected.AsSpan().SequenceEqual(rig.Read(1, "a", 0, Bytes, own: true).Data), $"content after store {stores}");
            Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
            Assert.True(expected.AsSpan().SequenceEqual(rig.ReadBelow(1, "a", 0, Bytes).Data), $"content of the blocker after store {stores}");
        }

        Assert.True(stores > 5 * stride, $"died at {stores} stores at most");
    }
}
