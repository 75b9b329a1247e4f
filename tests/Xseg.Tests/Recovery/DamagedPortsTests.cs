using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Xunit;

namespace Archipelago.Xseg.Tests.Recovery;

/// <summary>A damaged port table costs no dirty page: nobody binds before it is repaired, and the repair finds the pages' cache.</summary>
public sealed unsafe class DamagedPortsTests : IDisposable
{
    public enum Damage { Zeros, Ones, Random, Name, State, Length }

    private readonly TestSegment _segment = new();

    public void Dispose() => _segment.Dispose();

    public static TheoryData<Damage, bool> Kinds()
    {
        var kinds = new TheoryData<Damage, bool>();
        foreach (var damage in Enum.GetValues<Damage>())
        {
            kinds.Add(damage, true);
            kinds.Add(damage, false);
        }

        return kinds;
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void NobodyBindsOverADamagedPortTableAndNothingIsChanged(Damage damage, bool wholeTable)
    {
        int cache = Die();
        Strike(damage, wholeTable ? -1 : cache);
        byte[] before = Bytes();
        foreach (string name in (string[])["filed.0", "cached.0", "other.0"])
        {
            var refused = Assert.Throws<XsegException>(() => TestSegment.Bind(_segment.Join(), name, keeps: name == "cached.0"));
            Assert.Equal(XsegErrno.EUCLEAN, refused.Errno);
            Assert.Contains("segment fsck", refused.Message);
            Assert.Contains("3 dirty pages", refused.Message);
        }

        Assert.Equal(before, Bytes());
        Assert.Contains(Fsck.Check(_segment.First).Findings, finding => finding.Kind == FsckKind.DamagedPort && finding.IsRepairable);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void RepairGivesTheDirtyPagesTheirCacheBack(Damage damage, bool wholeTable)
    {
        int cache = Die();
        Strike(damage, wholeTable ? -1 : cache);
        Fsck.Repair(_segment.First, cache: "cached.0"u8);
        Assert.DoesNotContain(Fsck.Check(_segment.First).Findings, finding => finding.Kind == FsckKind.DamagedPort);
        using var filed = TestSegment.Bind(_segment.Join(), "filed.0");
        using var other = TestSegment.Bind(_segment.Join(), "other.0");
        var port = TestSegment.Bind(_segment.Join(), "cached.0", keeps: true);
        Assert.Equal((cache, 3, 3), (port.Number, port.Recovered.PagesCached, port.Recovered.PagesDirty));
        Assert.Equal(3, _segment.First.DirtyPages());
    }

    [Fact]
    public void WithoutTheCachesNameARepairLeavesItsPagesAlone()
    {
        int cache = Die();
        Strike(Damage.Zeros, -1);
        Fsck.Repair(_segment.First);
        Assert.Equal(3, _segment.First.DirtyPages());
        Assert.Equal(XsegErrno.EUCLEAN, Assert.Throws<XsegException>(() => TestSegment.Bind(_segment.Join(), "filed.0")).Errno);
        Assert.Equal(PortState.Free, (PortState)_segment.First.PortAt(cache)->State);
    }

    /// <summary>How new they are nobody knows: they are not destaged, nor is the blocker's version read in their place.</summary>
    [Fact]
    public void ASingleDirtyPageOfANamelessPortIsQuarantined()
    {
        int cache = Die();
        uint page = FirstCached();
        var entry = _segment.First.PageAt(page);
        entry->Word = new PageWord(PageState.Cache, 5, new PageWord(entry->Word).Generation).Value;
        Assert.Equal(XsegErrno.EUCLEAN, Assert.Throws<XsegException>(() => TestSegment.Bind(_segment.Join(), "cached.0", keeps: true)).Errno);
        Fsck.Repair(_segment.First, cache: "cached.0"u8);
        Assert.Equal((uint)cache, new PageWord(entry->Word).Owner);
        Assert.Equal(SectorMasks.Quarantined, SectorMasks.From(entry->Masks).Mark);
        Assert.Equal(3, _segment.First.DirtyPages());
    }

    [Fact]
    public void RepairKeepsPagesInQuarantineThatLookLikeTheSameBucket()
    {
        Die();
        for (uint page = 1; page < _segment.First.PageCount; page++)
        {
            var entry = _segment.First.PageAt(page);
            if (new PageWord(entry->Word).State != PageState.Cache) continue;
            (entry->Object, entry->Bucket, entry->Masks) = (0, 0, SectorMasks.From(entry->Masks).InQuarantine().Packed);
        }

        Fsck.Repair(_segment.First, cache: "cached.0"u8);
        Assert.Equal(3, _segment.First.DirtyPages());
        Fsck.Repair(_segment.First, discardDirty: true, "cached.0"u8);
        Assert.Equal(0, _segment.First.DirtyPages());
    }

    /// <summary>Zeros read as free pages of port 0: its peer would write over the dirty data, and the store's older data be read in silence.</summary>
    [Fact]
    public void NobodyBindsOverAnErasedPageTableUntilItsDataIsGivenUpByName()
    {
        Die();
        for (uint page = 1; page < _segment.First.PageCount; page++) *_segment.First.PageAt(page) = default;
        byte[] before = Bytes();
        var refused = Assert.Throws<XsegException>(() => TestSegment.Bind(_segment.Join(), "filed.0"));
        Assert.Equal(XsegErrno.EUCLEAN, refused.Errno);
        Assert.Contains("segment fsck", refused.Message);
        Assert.Equal(before, Bytes());
        Assert.NotEmpty(Fsck.Repair(_segment.First, cache: "cached.0"u8).Findings);
        Assert.Equal(127, _segment.First.DamagedPages());
        Assert.Empty(Fsck.Repair(_segment.First, discardDirty: true, "cached.0"u8).Findings);
        TestSegment.Bind(_segment.Join(), "filed.0");
    }

    [Fact]
    public void APeerThatKeepsNoPagesDoesNotTakeThePortOfOneThatDid()
    {
        Die();
        Assert.Equal(XsegErrno.EUCLEAN, Assert.Throws<XsegException>(() => TestSegment.Bind(_segment.Join(), "cached.0")).Errno);
        Assert.Equal(3, _segment.First.DirtyPages());
        TestSegment.Bind(_segment.Join(), "cached.0", keeps: true);
    }

    /// <summary>A cache and two others, dead; the cache has three dirty pages.</summary>
    private int Die()
    {
        var memory = _segment.Join();
        TestSegment.Bind(memory, "filed.0");
        var port = TestSegment.Bind(memory, "cached.0", keeps: true);
        TestSegment.Bind(memory, "other.0");
        for (uint bucket = 0; bucket < 3; bucket++)
        {
            Assert.True(port.Pages.TryTake(0, out var page));
            var entry = memory.PageAt(page.Page);
            (entry->Object, entry->Bucket, entry->Masks) = (1, (ushort)bucket, new SectorMasks(255, 255, 0, 0).Packed);
            entry->Word = new PageWord(PageState.Cache, (uint)port.Number, page.Generation).Value;
        }

        memory.Dispose();
        return port.Number;
    }

    private void Strike(Damage damage, int port)
    {
        var random = new Random(1);
        for (int at = 0; at < _segment.First.PortCount; at++)
        {
            if (port >= 0 && at != port) continue;
            var entry = _segment.First.PortAt(at);
            var bytes = new Span<byte>(entry, PortEntry.Size);
            switch (damage)
            {
                case Damage.Zeros:
                    bytes.Clear();
                    break;
                case Damage.Ones:
                    bytes.Fill(0xFF);
                    break;
                case Damage.Random:
                    random.NextBytes(bytes);
                    break;
                case Damage.Name:
                    entry->Name[0] ^= 1;
                    break;
                case Damage.State:
                    entry->State = 0;
                    break;
                default:
                    entry->NameLength = 65;
                    break;
            }
        }
    }

    private uint FirstCached()
    {
        uint page = 1;
        while (new PageWord(_segment.First.PageAt(page)->Word).State != PageState.Cache) page++;
        return page;
    }

    private byte[] Bytes() => File.ReadAllBytes(Path.Combine(_segment.Path, "segment"));
}
