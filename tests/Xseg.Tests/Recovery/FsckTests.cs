using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Archipelago.Xseg.Tests.Crash;
using Archipelago.Xseg.Tests.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Recovery;

/// <summary>Each kind of damage is found, nothing sound is called damaged, and repair leaves a segment that works.</summary>
public sealed unsafe class FsckTests : IDisposable
{
    private readonly TestSegment _segment = new();

    public void Dispose() => _segment.Dispose();

    [Fact]
    public void AFreshSegmentIsCleanAndAllPagesAreCounted()
    {
        var report = Fsck.Check(_segment.First);
        Assert.Empty(report.Findings);
        Assert.Equal((128L, 127L, 1L, 0, 0), (report.Pages.Total, report.Pages[PageState.Common], report.Pages[PageState.Reserved], report.SlotsInUse, report.LivePorts));
    }

    [Fact]
    public void RequestsUnderWayAreNoFault()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        using var server = TestSegment.Bind(_segment.Join(), "server");
        client.TryAttachPages(client.New(XsegOp.Write, 0, 8192), payload: true);
        client.Ping(server.Number);
        client.Ping(server.Number);
        server.Clients();
        Assert.True(server.TryAccept(client.Number, out _));
        Assert.True(server.TryAccept(client.Number, out var second));
        server.Reply(second, 0);
        client.Ping(server.Number);
        var report = Fsck.Check(_segment.First);
        Assert.Empty(report.Findings);
        Assert.Equal((4, 2), (report.SlotsInUse, report.LivePorts));
    }

    [Fact]
    public void ADeadPortIsNamed()
    {
        var memory = _segment.Join();
        TestSegment.Bind(memory, "some-peer").New(XsegOp.Ping, 0, 0);
        memory.Dispose();
        var report = Fsck.Check(_segment.First);
        var note = Assert.Single(report.Findings);
        Assert.Equal((FsckKind.DeadPort, true), (note.Kind, report.IsClean));
        Assert.Contains("some-peer", note.Text);
    }

    [Fact]
    public void ARequestThatItsRingHasLostIsStuck()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        using var server = TestSegment.Bind(_segment.Join(), "server");
        client.Ping(server.Number);
        *(ulong*)(_segment.First.RingAt(client.Number, server.Number, 0) + LinkLayout.EntriesOffset) = 0;
        Assert.Equal(FsckKind.StuckSlot, Assert.Single(Fsck.Check(_segment.First).Findings).Kind);
    }

    [Fact]
    public void AnAnswerThatItsRingHasLostIsStuck()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        using var server = TestSegment.Bind(_segment.Join(), "server");
        client.Ping(server.Number);
        server.Clients();
        server.TryAccept(client.Number, out var request);
        server.Reply(request, 0);
        *(ulong*)(_segment.First.RingAt(client.Number, server.Number, 1) + LinkLayout.EntriesOffset) = 0;
        Assert.Equal(FsckKind.StuckSlot, Assert.Single(Fsck.Check(_segment.First).Findings).Kind);
    }

    [Theory]
    [InlineData(PageState.Slot, 3u, FsckKind.LeakedPage)]
    [InlineData(PageState.Slot, 0xFF_FFFFu, FsckKind.DamagedPage)]
    [InlineData(PageState.Free, 4u, FsckKind.LeakedPage)]
    [InlineData(PageState.Limbo, 4u, FsckKind.LeakedPage)]
    [InlineData(PageState.Lent, 99u, FsckKind.DamagedPage)]
    [InlineData(PageState.Reserved, 0u, FsckKind.DamagedPage)]
    [InlineData((PageState)77, 0u, FsckKind.DamagedPage)]
    public void AWrongPageWordIsFoundAndRepaired(PageState state, uint owner, FsckKind kind)
    {
        _segment.First.PageAt(7)->Word = new PageWord(state, owner, 1).Value;
        var finding = Assert.Single(Fsck.Check(_segment.First).Findings);
        Assert.Equal((kind, true), (finding.Kind, finding.IsRepairable));
        Assert.Contains("page 7", finding.Text);
        var repaired = Fsck.Repair(_segment.First);
        Assert.Empty(repaired.Findings);
        Assert.Equal(127, repaired.Pages[PageState.Common]);
    }

    /// <summary>It may be the only copy of a dirty bucket: only an operator gives that up.</summary>
    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(0ul)]
    [InlineData(0x1_0000_6302)]
    public void APageWhoseWordIsLostAndWhoseMasksSayDirtyIsKeptUntilItIsGivenUpByName(ulong word)
    {
        (_segment.First.PageAt(7)->Word, _segment.First.PageAt(7)->Masks) = (word, 0x0000_FFFF);
        Assert.Equal(1, _segment.First.DamagedPages());
        var finding = Assert.Single(Fsck.Repair(_segment.First).Findings);
        Assert.Equal((FsckKind.DamagedPage, false), (finding.Kind, finding.IsRepairable));
        Assert.Contains("--discard-dirty", finding.Text);
        Assert.Equal(word, _segment.First.PageAt(7)->Word);
        Assert.Empty(Fsck.Repair(_segment.First, discardDirty: true).Findings);
        Assert.Equal(0, _segment.First.DamagedPages());
    }

    [Fact]
    public void APageNamedByTwoSlotsIsFound()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        var one = client.New(XsegOp.Write, 0, 8192);
        client.TryAttachPages(one, payload: true);
        one.Pointer->Extents[1] = one.Pointer->Extents[0];
        var kinds = Fsck.Check(_segment.First).Findings.Select(finding => finding.Kind).ToList();
        Assert.Equal([FsckKind.PageNamedTwice, FsckKind.LeakedPage], kinds);
    }

    [Fact]
    public void AStaleLoanIsFound()
    {
        using var client = TestSegment.Bind(_segment.Join(), "client");
        using var server = TestSegment.Bind(_segment.Join(), "server");
        var read = client.New(XsegOp.Read, 0, 4096);
        client.TrySubmit(read, server.Number);
        server.Clients();
        server.TryAccept(client.Number, out var accepted);
        Assert.True(server.Pages.TryLend(1, out var lent));
        accepted.TryData(out var data);
        data.Set(0, lent);
        server.Reply(accepted, 0);
        Assert.Empty(Fsck.Check(_segment.First).Findings);
        server.Pages.Give(lent.Page);
        server.Pages.TryTake(99, out _);
        Assert.Contains(Fsck.Check(_segment.First).Findings, finding => finding.Kind == FsckKind.StaleLoan);
    }

    [Fact]
    public void CachedPagesThatNobodyCanDestageAreReportedAndKept()
    {
        using (var world = new World())
        {
            world.WriteThrough(0, 3, 1);
            world.Observer.ObjectAt(MiniCache.Object)->NameLength = 5;
            world.KillCache();
            world.KillClient();
            var report = Fsck.Repair(world.Observer);
            Assert.Equal(3, report.Findings.Count(finding => finding.Kind == FsckKind.ObjectWithoutName && !finding.IsRepairable));
            Assert.Contains(report.Findings, finding => finding.Kind == FsckKind.DamagedTable);
            Assert.Equal(3, report.Pages[PageState.Cache]);
        }
    }

    public enum Entry
    {
        Hash,
        Name,
        NameLength,
        Flow,
        FlowHigh,
        Owner,
        Freed,
        State,
    }

    /// <summary>The cache mends it when a request names the object: until then nobody may free it, or its pages.</summary>
    [Theory]
    [InlineData(Entry.Hash)]
    [InlineData(Entry.Name)]
    [InlineData(Entry.NameLength)]
    [InlineData(Entry.Flow)]
    [InlineData(Entry.FlowHigh)]
    [InlineData(Entry.Owner)]
    [InlineData(Entry.Freed)]
    [InlineData(Entry.State)]
    public void ADamagedObjectEntryThatDirtyPagesNameIsReportedAndKept(Entry damaged)
    {
        using var world = new World();
        world.WriteThrough(0, 3, 1);
        Assert.True(Fsck.Check(world.Observer).IsClean);
        var entry = world.Observer.ObjectAt(MiniCache.Object);
        switch (damaged)
        {
            case Entry.Hash:
                entry->HashHigh ^= 1;
                break;
            case Entry.Name:
                entry->Name[0] ^= 1;
                break;
            case Entry.NameLength:
                entry->NameLength ^= 2;
                break;
            case Entry.Flow:
                entry->Flow ^= 2;
                break;
            case Entry.FlowHigh:
                entry->Flow ^= 1 << 20;
                break;
            case Entry.Owner:
                entry->Word ^= 1 << 12;
                break;
            case Entry.Freed:
                entry->Word ^= 2;
                break;
            default:
                entry->Word ^= 32;
                break;
        }

        Assert.Contains(Fsck.Check(world.Observer).Findings, Tells);
        world.KillCache();
        world.KillClient();
        byte[] before = new Span<byte>(entry, ObjectEntry.Size).ToArray();
        var report = Fsck.Repair(world.Observer);
        Assert.Contains(report.Findings, Tells);
        Assert.Equal((3L, 3L), (report.Pages[PageState.Cache], world.Observer.DirtyPages()));
        Assert.Equal(before, new Span<byte>(entry, ObjectEntry.Size).ToArray());
        report = Fsck.Repair(world.Observer, discardDirty: true);
        Assert.True(report.IsClean, string.Join("\n", report.Findings));
        Assert.Equal(0, world.Observer.DirtyPages());

        static bool Tells(FsckFinding finding) => finding.Kind == FsckKind.DamagedTable && !finding.IsRepairable && finding.Text.StartsWith("object 1", StringComparison.Ordinal);
    }

    /// <summary>Whatever a double crash left: after a repair the cache's content is all there, newest version, and both peers start anew.</summary>
    [Fact]
    public void RepairAtAnyPointOfAWriteKeepsTheCachesContent() => Killing.BeforeEachStore(
        () =>
        {
            var world = new World();
            world.WriteThrough(0, 3, 1);
            world.Write(0, 3, 2);
            return world;
        },
        world => world.Cache.Serve(),
        (world, died) =>
        {
            world.Doubt(0, 3);
            world.KillCache();
            world.KillClient();
            // Repair, too, may be killed and repeated.
            Killing.Run(3, () => Fsck.Repair(world.Observer));
            var report = Fsck.Repair(world.Observer);
            Assert.Empty(report.Findings.Where(finding => finding.Kind != FsckKind.Counters).Select(finding => finding.Text));
            Assert.Equal(3, report.Pages[PageState.Cache]);
            Assert.Equal(252, report.Pages[PageState.Common]);
            world.RecoverCache();
            world.RecoverClient();
            world.AssertSound();
        });

    [Fact]
    public void RepairIsRefusedWhileAPeerLives()
    {
        using var peer = TestSegment.Bind(_segment.Join(), "peer");
        Assert.Equal(XsegErrno.EBUSY, Assert.Throws<XsegException>(() => Fsck.Repair(_segment.First)).Errno);
    }

    [Fact]
    public void CheckingABusySegmentFindsNothing()
    {
        using var world = new World();
        bool stop = false;
        Exception? failure = null;
        var working = new Thread(() =>
        {
            try
            {
                for (ulong stamp = 1; !Volatile.Read(ref stop); stamp++) world.WriteThrough((ushort)(stamp % 8), 3, stamp);
            }
            catch (Exception caught)
            {
                failure = caught;
            }
        });
        working.Start();
        for (int i = 0; i < 20; i++) Assert.DoesNotContain(Fsck.Check(world.Observer).Findings, finding => finding.IsFault);
        Volatile.Write(ref stop, true);
        working.Join();
        Assert.Null(failure);
    }
}
