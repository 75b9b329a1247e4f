using Archipelago.Memd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Recovery;

namespace Archipelago.Cached.Tests;

/// <summary>One damaged field of an object's entry, and kill -9 of the cache: what was written is read, and flushed, once a request names the object.</summary>
public sealed unsafe class DamagedObjectTests
{
    private const string Name = "volume.0000000000000001";

    public enum Field
    {
        HashLow,
        HashHigh,
        NameByte,
        NameLength,
        Flow,
        FlowOutside,
        FlowHigh,
        Owner,
        OwnerNobody,
        Freed,
        State,
    }

    public enum First
    {
        Read,
        SecondRestart,
        WriteOfABucket,
        WriteOfASector,
        ReadAround,
        Info,
        Hash,
        Copy,
    }

    public static TheoryData<Field, First> All
    {
        get
        {
            var rows = new TheoryData<Field, First>();
            foreach (var damaged in Enum.GetValues<Field>())
                foreach (var first in Enum.GetValues<First>()) rows.Add(damaged, first);
            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(All))]
    public void NothingIsLostAndNothingOldIsRead(Field field, First first)
    {
        using var rig = Dirty(out byte[] data);
        Strike(rig, field);
        rig.RestartCache();
        if (!IsMendedAtOnce(field))
        {
            Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
            Assert.Equal((4L, 1), (rig.Store.LostPages, rig.Store.Orphans));
            Assert.Equal(0, rig.Do(XsegOp.Flush, 2, "").Status);
        }

        Assert.Equal(4, rig.ClientProcess.Segment.DirtyPages());
        switch (first)
        {
            case First.SecondRestart:
                rig.RestartCache();
                rig.RestartCache();
                break;
            case First.WriteOfABucket:
                Rig.Fill(4096, 8).CopyTo(data, 4096);
                Assert.Equal(0, rig.Write(1, Name, 4096, Rig.Fill(4096, 8)).Status);
                break;
            case First.WriteOfASector:
                Rig.Fill(512, 8).CopyTo(data, 4096 + 512);
                Assert.Equal(0, rig.Write(1, Name, 4096 + 512, Rig.Fill(512, 8)).Status);
                break;
            case First.ReadAround:
                rig.SetPolicy(1, CachePolicy.Off);
                Assert.Equal(data, rig.Read(1, Name, 0, 16384, own: true).Data);
                rig.SetPolicy(1, CachePolicy.WriteBack);
                break;
            case First.Info:
                Assert.Equal((0, 16384ul), (rig.Do(XsegOp.Info, 1, Name).Status, rig.Do(XsegOp.Info, 1, Name).Serviced));
                break;
            case First.Hash:
                Assert.Equal(0, rig.Do(XsegOp.Hash, 1, Name).Status);
                Assert.Equal(data, rig.ReadBelow(1, Name, 0, 16384).Data);
                break;
            case First.Copy:
                Assert.Equal(0, rig.Do(XsegOp.Copy, 1, "copy", 0, 16384, source: Name).Status);
                Assert.Equal(data, rig.Read(1, "copy", 0, 16384).Data);
                break;
        }

        var read = rig.Read(1, Name, 0, 16384);
        Assert.Equal(0, read.Status);
        Assert.Equal(data, read.Data);
        Assert.Equal((0L, 0), (rig.Store.LostPages, rig.Store.Orphans));
        Conservation.Check(rig);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(data, rig.ReadBelow(1, Name, 0, 16384).Data);
        Assert.Equal(0, rig.ClientProcess.Segment.DirtyPages());
        Conservation.Check(rig);
        Assert.True(Fsck.Check(rig.ClientProcess.Segment).IsClean);
        rig.RestartCache();
        Assert.Equal(data, rig.Read(1, Name, 0, 16384).Data);
    }

    [Fact]
    public void AnyOneBitOfAnEntryMayFlip()
    {
        const int Bits = (64 + 24) * 8;
        for (int bit = 0; bit < Bits; bit++)
        {
            using var rig = Dirty(out byte[] data);
            ((byte*)EntryOf(rig))[bit >> 3] ^= (byte)(1 << (bit & 7));
            rig.RestartCache();
            var read = rig.Read(1, Name, 0, 16384);
            Assert.True(read.Status == 0 && data.AsSpan().SequenceEqual(read.Data), $"bit {bit}: status {read.Status}");
            Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
            Assert.True(data.AsSpan().SequenceEqual(rig.ReadBelow(1, Name, 0, 16384).Data), $"bit {bit}: the blocker's");
            Conservation.Check(rig);
        }
    }

    [Theory]
    [InlineData(Field.HashLow)]
    [InlineData(Field.HashHigh)]
    [InlineData(Field.NameByte)]
    [InlineData(Field.NameLength)]
    [InlineData(Field.Flow)]
    [InlineData(Field.Owner)]
    public void MendingMayBeKilledBeforeEachStore(Field field)
    {
        bool died = true;
        int stores = 0;
        for (; died; stores++)
        {
            using var rig = Dirty(out byte[] data);
            Strike(rig, field);
            rig.RestartCache();
            rig.CacheProcess.KillBeforeStore(stores);
            var first = rig.CacheProcess;
            var reply = rig.Start(() => rig.Client.ReadAsync(1, Name, 0, 16384, own: true));
            rig.World.RunUntil(() => reply.IsCompleted || !first.IsAlive, $"store {stores}");
            died = !first.IsAlive;
            if (died) rig.RestartCache();
            else rig.CacheProcess.KillBeforeStore(-1);
            rig.World.RunUntil(() => reply.IsCompleted, $"the replay after store {stores}");
            Assert.Equal(0, reply.Result.Status);
            Assert.True(data.AsSpan().SequenceEqual(reply.Result.Data), $"content after store {stores}");
            Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
            Assert.True(data.AsSpan().SequenceEqual(rig.ReadBelow(1, Name, 0, 16384).Data), $"content of the blocker after store {stores}");
            Conservation.Check(rig);
        }

        Assert.True(stores > 6, $"died at {stores} stores at most");
    }

    [Fact]
    public void AnotherNameOrAnotherFlowMendsNothing()
    {
        using var rig = Dirty(out byte[] data);
        Strike(rig, Field.HashLow);
        rig.RestartCache();
        Assert.Equal(0, rig.Read(1, "volume.0000000000000002", 0, 4096).Status);
        // The blocker's is older.
        Assert.Equal(XsegErrno.EIO, rig.Read(2, Name, 0, 4096).Status);
        Assert.Equal(XsegErrno.EIO, rig.Write(2, Name, 0, Rig.Fill(4096, 9)).Status);
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Hash, 2, Name).Status);
        Assert.Equal((4L, 1), (rig.Store.LostPages, rig.Store.Orphans));
        Assert.Equal(data, rig.Read(1, Name, 0, 16384).Data);
    }

    /// <summary>What is mended meanwhile was answered before: a FLUSH that says 0 has brought it down.</summary>
    [Fact]
    public void AFlushThatRunsWhileAnEntryIsMendedCoversIt()
    {
        using var rig = Dirty(out byte[] data);
        Assert.Equal(0, rig.Write(1, "other", 0, Rig.Fill(8192, 5)).Status);
        Strike(rig, Field.NameByte);
        rig.RestartCache();
        var flush = rig.Start(() => rig.Client.IssueAsync(XsegOp.Flush, 1, ""));
        rig.World.RunUntil(() => rig.Cached.Destager.WritesInFlight > 0, "the destage");
        var read = rig.Start(() => rig.Client.ReadAsync(1, Name, 0, 16384, own: true));
        rig.World.RunUntil(() => flush.IsCompleted && read.IsCompleted, "both");
        Assert.Equal((0, 0), (flush.Result.Status, read.Result.Status));
        Assert.Equal(data, rig.ReadBelow(1, Name, 0, 16384).Data);
    }

    [Fact]
    public void ABucketThatWasLostBeforeIsStillLostOnceTheEntryIsMended()
    {
        using var rig = Dirty(out byte[] data);
        var of = rig.Store.Find(Hash128.Of(System.Text.Encoding.UTF8.GetBytes(Name)))!;
        rig.ClientProcess.Segment.PageAt(rig.Store.Lookup(of, 2, false, out _, out _))->Masks = 0x0000_FF00;
        Assert.Equal(XsegErrno.EIO, rig.Read(1, Name, 8192, 4096).Status);
        Strike(rig, Field.HashLow);
        rig.RestartCache();
        Assert.Equal(XsegErrno.EIO, rig.Read(1, Name, 8192, 4096).Status);
        Assert.Equal(data[..8192], rig.Read(1, Name, 0, 8192).Data);
        Assert.Equal(XsegErrno.EIO, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(0, rig.Write(1, Name, 8192, Rig.Fill(4096, 4)).Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal(Rig.Fill(4096, 4), rig.ReadBelow(1, Name, 8192, 4096).Data);
        Conservation.Check(rig);
    }

    [Fact]
    public void WhatTheBlockerHasIsNotMissedOnceItIsStable()
    {
        using var rig = new Rig(1, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromMilliseconds(1) }, memd: new MemdOptions { Stable = false });
        rig.SetPolicy(1, CachePolicy.WriteThrough);
        byte[] data = Rig.Fill(8192, 1);
        Assert.Equal(0, rig.Write(1, Name, 0, data).Status);
        Assert.Equal(2, rig.Store.WrittenPages);
        Strike(rig, Field.HashLow);
        rig.RestartCache();
        Assert.Equal((0L, 1), (rig.Store.LostPages, rig.Store.Orphans));
        Assert.Equal(0, rig.Do(XsegOp.Flush, 1, "").Status);
        Assert.Equal((0, 0L), (rig.Store.Orphans, rig.ClientProcess.Segment.DirtyPages()));
        Assert.Equal(data, rig.Read(1, Name, 0, 8192).Data);
        Conservation.Check(rig);
    }

    [Theory]
    [InlineData(Field.HashLow)]
    [InlineData(Field.NameByte)]
    [InlineData(Field.Flow)]
    [InlineData(Field.Owner)]
    public void FsckTellsOfTheEntryAndRepairKeepsIt(Field field)
    {
        using var rig = Dirty(out byte[] data);
        Strike(rig, field);
        rig.RestartCache();
        var segment = rig.ClientProcess.Segment;
        Assert.Contains(Fsck.Check(segment).Findings, finding => finding.Kind == FsckKind.DamagedTable && !finding.IsRepairable);
        rig.KillAll();
        using var later = Segment.Join(rig.DirectoryPath);
        Assert.Contains(Fsck.Repair(later, cache: "cached"u8).Findings, finding => finding.Kind == FsckKind.DamagedTable);
        Assert.Equal(4, later.DirtyPages());
        var report = Fsck.Repair(later, discardDirty: true);
        Assert.Equal(0, later.DirtyPages());
        Assert.True(report.IsClean, string.Join("\n", report.Findings));
        Assert.Equal(16384, data.Length);
    }

    /// <summary>The state and the owner of a word that says whose it is are not in doubt.</summary>
    private static bool IsMendedAtOnce(Field field) => field is Field.Freed or Field.State;

    private static Rig Dirty(out byte[] data)
    {
        var rig = new Rig(1, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromHours(1) });
        for (uint flow = 1; flow <= 2; flow++) rig.SetPolicy(flow, CachePolicy.WriteBack);
        // The blocker has other data.
        Assert.Equal(0, rig.Run(() => rig.Client.WriteAsync(1, Name, 0, Rig.Fill(16384, 77), route: rig.Client.Blocks)).Status);
        data = Rig.Fill(16384, 1);
        Assert.Equal(0, rig.Write(1, Name, 0, data).Status);
        Assert.NotEqual(0, rig.Cached.Context.Port.Number);
        return rig;
    }

    private static ObjectEntry* EntryOf(Rig rig) =>
        rig.ClientProcess.Segment.ObjectAt(rig.Store.Find(Hash128.Of(System.Text.Encoding.UTF8.GetBytes(Name)))!.Entry);

    private static void Strike(Rig rig, Field field)
    {
        var entry = EntryOf(rig);
        switch (field)
        {
            case Field.HashLow:
                entry->HashLow ^= 1ul << 40;
                break;
            case Field.HashHigh:
                entry->HashHigh ^= 1;
                break;
            case Field.NameByte:
                entry->Name[5] ^= 4;
                break;
            case Field.NameLength:
                entry->NameLength ^= 8;
                break;
            case Field.Flow:
                entry->Flow ^= 2;
                break;
            case Field.FlowOutside:
                entry->Flow ^= 64;
                break;
            case Field.FlowHigh:
                entry->Flow ^= 1u << 20;
                break;
            case Field.Owner:
                entry->Word ^= 1ul << 9;
                break;
            case Field.OwnerNobody:
                entry->Word ^= 1ul << 14;
                break;
            case Field.Freed:
                entry->Word ^= 2;
                break;
            default:
                entry->Word ^= 32;
                break;
        }
    }
}
