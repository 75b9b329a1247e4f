using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Recovery;

namespace Archipelago.Cached.Tests;

/// <summary>Damaged entries of the page table and the object table: an error, a counter, a name; never an end of the process, never other data.</summary>
public sealed unsafe class DamageTests
{
    private static CachedOptions Lazy => new() { Pages = 256, DirtyAge = TimeSpan.FromHours(1) };

    public enum Damage
    {
        Object,
        Bucket,
        Flow,
        Word,
        Masks,
        All,
    }

    public static TheoryData<Damage, bool> Kinds
    {
        get
        {
            var rows = new TheoryData<Damage, bool>();
            foreach (var kind in Enum.GetValues<Damage>())
            {
                rows.Add(kind, true);
                rows.Add(kind, false);
            }

            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void DirtyBucketWithADamagedEntryGetsEioAndAllOthersGoOn(Damage kind, bool readFirst)
    {
        using var rig = Dirty(out byte[] data);
        Strike(rig, PageOf(rig, "a", 2), kind);
        if (readFirst) Assert.Equal(XsegErrno.EIO, rig.Read(1, "a", 8192, 4096).Status);
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(XsegErrno.EIO, rig.Read(1, "a", 8192, 4096).Status);
        Assert.Equal(XsegErrno.EIO, rig.Read(1, "a", 0, 16384).Status);
        Assert.Equal(XsegErrno.EIO, rig.Write(1, "a", 8192 + 512, Rig.Fill(512, 9)).Status);
        Assert.Equal((1L, 0L), (rig.Store.LostPages, rig.Store.DirtyPages));
        Assert.True(rig.Store.DamagedPages > 0);
        // The others are read, written and brought down.
        Assert.Equal(data[..8192], rig.Read(1, "a", 0, 8192).Data);
        Assert.Equal(data[..8192], rig.ReadBelow(1, "a", 0, 8192).Data);
        Assert.Equal(data[12288..], rig.ReadBelow(1, "a", 12288, 4096).Data);
        Assert.Equal(Rig.Fill(8192, 2), rig.ReadBelow(1, "b", 0, 8192).Data);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 2, "").Status);
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Hash, 1, "a").Status);
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Release, 1, "a").Status);
        // All of it anew: nothing is missed any more.
        Assert.Equal(0, rig.Write(1, "a", 8192, Rig.Fill(4096, 7)).Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(Rig.Fill(4096, 7), rig.Read(1, "a", 8192, 4096).Data);
        Assert.Equal(Rig.Fill(4096, 7), rig.ReadBelow(1, "a", 8192, 4096).Data);
        Assert.Equal(0, rig.Store.LostPages);
    }

    [Theory]
    [InlineData(Damage.Object)]
    [InlineData(Damage.Bucket)]
    [InlineData(Damage.Flow)]
    [InlineData(Damage.Word)]
    [InlineData(Damage.Masks)]
    [InlineData(Damage.All)]
    public void StableBucketWithADamagedEntryIsReadAgain(Damage kind)
    {
        using var rig = Dirty(out byte[] data);
        rig.Do(XsegOp.Flush, 1, "");
        Strike(rig, PageOf(rig, "a", 2), kind);
        Assert.Equal(data, rig.Read(1, "a", 0, 16384).Data);
        Assert.Equal((0L, 1L), (rig.Store.LostPages, rig.Store.DamagedPages));
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
    }

    [Fact]
    public void LostBucketStaysLostOverARestartAndADiscardEndsIt()
    {
        using var rig = Dirty(out byte[] data);
        Strike(rig, PageOf(rig, "a", 2), Damage.Masks);
        Assert.Equal(XsegErrno.EIO, rig.Read(1, "a", 8192, 4096).Status);
        rig.RestartCache();
        Assert.Equal(XsegErrno.EIO, rig.Read(1, "a", 8192, 4096).Status);
        Assert.Equal(data[..8192], rig.Read(1, "a", 0, 8192).Data);
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(1, rig.ClientProcess.Segment.DirtyPages());
        Assert.Equal(0, rig.Do(XsegOp.Discard, 1, "a", 8192, 4096).Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(new byte[4096], rig.Read(1, "a", 8192, 4096).Data);
        Assert.Equal(0, rig.ClientProcess.Segment.DirtyPages());
    }

    [Fact]
    public void ObjectWhoseNameIsDamagedKeepsItsDirtyPagesUntilARequestNamesIt()
    {
        using var rig = Dirty(out byte[] data);
        var entry = ObjectOf(rig, "a");
        entry->Name[0] ^= 1;
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(1, rig.Store.DamagedObjects);
        Assert.Equal(4, rig.Store.DirtyPages);
        Assert.Equal(Rig.Fill(8192, 2), rig.ReadBelow(1, "b", 0, 8192).Data);
        Assert.Equal(data, rig.Read(1, "a", 0, 16384).Data);
        Assert.Equal(0, rig.Write(1, "a", 0, Rig.Fill(4096, 3)).Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(Rig.Fill(4096, 3), rig.ReadBelow(1, "a", 0, 4096).Data);
        Assert.Equal(data[4096..], rig.ReadBelow(1, "a", 4096, 12288).Data);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void DirtyPagesWhoseObjectIsDamagedAreKeptByARestartUntilTheyAreDiscardedByName(bool flow)
    {
        using var rig = Dirty(out _);
        if (flow) ObjectOf(rig, "a")->Flow = 77;
        else ObjectOf(rig, "a")->HashLow ^= 1;
        rig.RestartCache();
        Assert.Equal((4L, 2L), (rig.Store.LostPages, rig.Store.DirtyPages));
        Assert.Equal(Rig.Fill(8192, 2), rig.Read(1, "b", 0, 8192).Data);
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(Rig.Fill(8192, 2), rig.ReadBelow(1, "b", 0, 8192).Data);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 2, "").Status);
        var segment = rig.ClientProcess.Segment;
        Assert.Equal(4, segment.DirtyPages());
        var report = Fsck.Check(segment);
        Assert.Contains(report.Findings, finding => finding.Kind == FsckKind.DamagedTable && !finding.IsRepairable);

        using var later = Segment.Join(rig.DirectoryPath);
        rig.KillAll();
        Fsck.Repair(later);
        Assert.Equal(4, later.DirtyPages());
        report = Fsck.Repair(later, discardDirty: true);
        Assert.Equal(0, later.DirtyPages());
        Assert.True(report.IsClean, string.Join("\n", report.Findings));
    }

    private static Rig Dirty(out byte[] data)
    {
        var rig = new Rig(1, Lazy);
        for (uint flow = 1; flow <= 2; flow++) rig.SetPolicy(flow, CachePolicy.WriteBack);
        data = Rig.Fill(16384, 1);
        rig.Write(1, "a", 0, data);
        rig.Write(1, "b", 0, Rig.Fill(8192, 2));
        rig.Write(2, "c", 0, Rig.Fill(4096, 3));
        rig.Do(XsegOp.Flush, 2, "");
        return rig;
    }

    private static uint PageOf(Rig rig, string name, int bucket)
    {
        var of = rig.Store.Find(Hash128.Of(System.Text.Encoding.UTF8.GetBytes(name)))!;
        return rig.Store.Lookup(of, bucket, false, out _, out _);
    }

    private static ObjectEntry* ObjectOf(Rig rig, string name) =>
        rig.ClientProcess.Segment.ObjectAt(rig.Store.Find(Hash128.Of(System.Text.Encoding.UTF8.GetBytes(name)))!.Entry);

    private static void Strike(Rig rig, uint page, Damage kind)
    {
        var entry = rig.ClientProcess.Segment.PageAt(page);
        switch (kind)
        {
            case Damage.Object:
                entry->Object ^= 3;
                break;
            case Damage.Bucket:
                entry->Bucket = 60000;
                break;
            case Damage.Flow:
                entry->Flow = 2;
                break;
            case Damage.Word:
                entry->Word ^= 1;
                break;
            case Damage.Masks:
                entry->Masks = 0x0000_FF00;
                break;
            default:
                new Span<byte>(entry, sizeof(PageEntry)).Fill(0xA5);
                break;
        }
    }
}
