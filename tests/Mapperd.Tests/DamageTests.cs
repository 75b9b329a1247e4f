using Archipelago.Mapperd.Format;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;
using static Archipelago.Mapperd.Tests.Damages;

namespace Archipelago.Mapperd.Tests;

/// <summary>Damage of the store is found, named, and confined; nothing is deleted because of it.</summary>
public class DamageTests
{
    private const int O = Rig.ObjectSize;

    [Fact]
    public void A_damaged_sector_of_a_chunk_costs_its_62_objects_and_no_other()
    {
        using var rig = new Rig();
        var world = Shared(rig, 130);
        Damage(rig, Name(rig, 'm'), 512, bytes => bytes[100] ^= 1);
        uint flow = world.Open["disk"];
        for (int i = 0; i < 130; i++)
        {
            bool lost = i is >= 62 and < 124;
            Assert.True((lost ? Errno.EIO : 0) == rig.Read("disk", flow, (ulong)(i * O), 512).Status, $"object {i}");
            if (i % 10 == 0) Assert.True((lost ? Errno.EIO : 0) == rig.Write("disk", flow, (ulong)(i * O), new byte[512]).Status, $"object {i}");
        }

        // The snapshot has a map of its own.
        uint view = rig.Open("disk@s1", RequestFlags.ReadOnly);
        Assert.Equal(world.State.Disks["disk"].Snapshots["s1"], rig.Read("disk@s1", view, 0, 130 * O).Data);
        // Nobody knows what the damaged part refers to.
        Assert.Equal(Errno.EUCLEAN, Refusal(() => world.Collect()).Errno);
    }

    [Fact]
    public void The_map_of_a_volume_tells_what_is_whole_around_a_damaged_sector_and_of_that_sector_that_it_is_no_hole()
    {
        using var rig = new Rig();
        var world = new World(rig);
        world.Run(Op.Create("disk", 200 * O));
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", 30 * O, Bytes.Of(1, O)));
        world.Run(Op.Snapshot("disk", "s1"));
        world.Run(Op.Write("disk", 30 * O, Bytes.Of(2, 512)));
        Damage(rig, Name(rig, 'm'), 512, bytes => bytes[100] ^= 1);
        uint flow = world.Open["disk"];
        Assert.Equal([(30, false), (1, true), (31, false), (62, true), (76, false)], Map(0, 200));
        Assert.Equal([(62, true), (76, false)], Map(62, 138));
        Assert.Equal(Errno.EIO, rig.Read("disk", flow, 62 * O, 512).Status);

        (int Objects, bool IsData)[] Map(ulong first, ulong count)
        {
            var answer = rig.Do(XsegOp.MapRead, "disk", flow, first * O, count * O);
            Assert.Equal(0, answer.Status);
            return [.. answer.Data.Chunk(16).Select(entry => ((int)(BitConverter.ToUInt64(entry) / O), BitConverter.ToUInt32(entry, 8) == 0))];
        }
    }

    [Fact]
    public void A_rollback_to_a_snapshot_whose_directory_is_lost_is_refused_and_the_head_stays()
    {
        using var rig = new Rig();
        var world = Shared(rig, 4);
        world.Close("disk");
        string directory = rig.MapperdNode.Run(async () =>
        {
            var disk = await rig.Mapperd.Volumes.LookAsync("disk");
            return $"d.{disk.Root!.Id:x16}.{disk.Find("s1")!.Generation:x16}";
        });
        byte[] whole = Sector(rig, directory, 0);
        foreach (bool isMissing in new[] { false, true })
        {
            if (isMissing) Lose(rig, directory);
            else Alter(rig, directory, 0, bytes => bytes[100] ^= 1);
            var refused = Refusal(() => rig.MapperdNode.Run(() => rig.Mapperd.Volumes.RollbackAsync("disk", "s1", 0)));
            Assert.Equal(Errno.EIO, refused.Errno);
            Assert.Contains($"{directory}, is {(isMissing ? "missing" : "damaged")}", refused.Message);
        }

        world.OpenForWriting("disk");
        Assert.Equal(world.State.Disks["disk"].Data, rig.Read("disk", world.Open["disk"], 0, 4 * O).Data);
        world.Close("disk");
        Set(rig, directory, whole);
        world.Run(Op.Rollback("disk", "s1"));
    }

    [Fact]
    public void A_hash_over_an_object_that_is_lost_is_refused()
    {
        using var rig = new Rig();
        var world = Shared(rig, 4);
        world.Close("disk");
        ulong layer = rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.LookAsync("disk")).Root!.Layer);
        Lose(rig, $"o.{layer:x14}.{0:x10}");
        var refused = Refusal(() => rig.MapperdNode.Run(() => rig.Mapperd.Volumes.HashAsync(new VolumeName("disk", null))));
        Assert.Equal(Errno.EIO, refused.Errno);
        Assert.Contains("fsck disk --objects", refused.Message);
        Assert.Equal(0, rig.Do(XsegOp.Hash, "disk@s1").Status);
    }

    [Theory]
    [InlineData('m')]
    [InlineData('o')]
    public void An_object_that_is_missing_is_an_error_and_no_zeros(char kind)
    {
        using var rig = new Rig();
        var world = Shared(rig, 4);
        // The chunk of the head; of data the one that the head's map says exists.
        string missing = kind == 'm' ? Name(rig, 'm') : rig.Objects().Single(name => name.StartsWith("o." + Name(rig, 'm')[2..16], StringComparison.Ordinal));
        Lose(rig, missing);
        rig.Kill(mapperd: true, vlmcd: true);
        Assert.Equal(Errno.EIO, rig.Read("disk", world.Open["disk"], 0, 512).Status);
        // A copy of what is missing is none.
        world.Close("disk");
        if (kind == 'o') Assert.Equal(0, rig.Do(XsegOp.Snapshot, "disk", source: "s2").Status);
        world.OpenForWriting("disk");
        Assert.Equal(Errno.EIO, rig.Write("disk", world.Open["disk"], 512, new byte[512]).Status);
        Assert.Equal(Errno.EIO, rig.Read("disk", world.Open["disk"], 0, 512).Status);
    }

    /// <summary>What the head leaves may be the snapshot's, of which nothing is known.</summary>
    [Fact]
    public void What_a_snapshot_has_whose_record_is_missing_stays_when_the_head_leaves_it()
    {
        using var rig = new Rig();
        var world = Shared(rig, 4);
        world.Run(Op.Snapshot("disk", "s2"));
        byte[] content = world.State.Disks["disk"].Data;
        world.Close("disk");
        var seen = rig.MapperdNode.Run(() => rig.Mapperd.Volumes.LookAsync("disk"));
        ulong place = (ulong)(seen.Slots.IndexOf(seen.Find("s2")) + 1) * 512;
        byte[] whole = [];
        Damage(rig, $"v.{seen.Root!.Id:x16}", place, bytes =>
        {
            whole = [.. bytes];
            bytes.AsSpan().Clear();
        });
        rig.Kill(mapperd: true, vlmcd: true);
        uint flow = rig.Open("disk");
        Assert.Equal(0, rig.Write("disk", flow, 0, Bytes.Of(9, 4 * O)).Status);
        Assert.Equal(0, rig.Do(XsegOp.Close, "disk").Status);
        rig.UntilIdle();
        Damage(rig, $"v.{seen.Root.Id:x16}", place, bytes => whole.CopyTo(bytes, 0));
        rig.Kill(mapperd: true, vlmcd: true);
        uint view = rig.Open("disk@s2", RequestFlags.ReadOnly);
        Assert.Equal(content, rig.Read("disk@s2", view, 0, 4 * O).Data);
    }

    public static TheoryData<string, int, Action<byte[]>> Roots => new()
    {
        { "a newer version", Errno.EPROTO, Sealed(bytes => bytes[8] = 3) },
        { "another magic", Errno.EPROTO, bytes => bytes[0] ^= 1 },
        { "a wrong checksum", Errno.EIO, bytes => bytes[300] ^= 1 },
        { "unknown flags", Errno.EPROTO, Sealed(bytes => bytes[12] = 0x80) },
        { "size 0", Errno.EPROTO, Sealed(bytes => bytes.AsSpan(24, 8).Clear()) },
        { "a huge size", Errno.EPROTO, Sealed(bytes => bytes[31] = 0x7f) },
        { "an odd object size", Errno.EPROTO, Sealed(bytes => bytes[32] ^= 1) },
        { "layer 0", Errno.EPROTO, Sealed(bytes => bytes.AsSpan(40, 8).Clear()) },
        { "a parent that was never made", Errno.EPROTO, Sealed(bytes => bytes[56] = 200) },
        { "itself as its base", Errno.EPROTO, Sealed(bytes => bytes.AsSpan(16, 8).CopyTo(bytes.AsSpan(72))) },
    };

    [Theory]
    [MemberData(nameof(Roots))]
    public void A_bad_header_is_refused_and_all_other_volumes_go_on(string what, int errno, Action<byte[]> damage)
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        string root = $"v.{IdOf(rig, "lone"):x16}";
        Damage(rig, root, 0, damage);
        foreach (var op in new[] { XsegOp.Open, XsegOp.Info, XsegOp.Truncate, XsegOp.Delete, XsegOp.Hash }) Assert.True(errno == rig.Do(op, "lone", length: 512).Status, $"{what}: {op}");
        Assert.Contains(root, world.Refusals());
        world.State.Disks.Remove("lone");
        foreach (string name in world.State.Disks.Keys) world.OpenForWriting(name);
        world.Run(Op.Write("grand", 0, Bytes.Of(3, 2 * O)));
        world.Run(Op.Snapshot("clone", "c5"));
    }

    [Fact]
    public void Two_volumes_that_are_forged_to_be_clones_of_each_other_end_no_request_in_a_circle()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        ulong Id(string name) => rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.LookAsync(name)).Root!.Id);
        ulong one = Id("base"), other = Id("clone");
        Damage(rig, $"v.{one:x16}", 0, Sealed(bytes =>
        {
            BitConverter.TryWriteBytes(bytes.AsSpan(72), other);
            BitConverter.TryWriteBytes(bytes.AsSpan(80), 1ul);
        }));
        world.OpenForWriting("base");
        world.OpenForWriting("clone");
        world.Run(Op.Write("base", 0, Bytes.Of(3, 2 * O)));
        world.Run(Op.Write("clone", 0, Bytes.Of(4, 2 * O)));
        world.Verify();
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Flatten, "base").Status);
    }

    [Fact]
    public void A_damaged_snapshot_record_is_not_written_over_and_nothing_that_it_may_refer_to_is_deleted()
    {
        using var rig = new Rig();
        var world = Shared(rig, 4);
        world.Run(Op.Snapshot("disk", "s2"));
        ulong id = IdOf(rig, "disk");
        byte[] whole = Sector(rig, $"v.{id:x16}", 512);
        Damage(rig, $"v.{id:x16}", 512, bytes => bytes[20] ^= 1);
        Assert.Equal(0, rig.Write("disk", world.Open["disk"], 0, Bytes.Of(9, O)).Status);
        Assert.Equal(0, rig.Do(XsegOp.Snapshot, "disk", source: "s3").Status);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk@s2").Status);
        rig.UntilIdle();
        // Restored from a copy, it is what it was.
        Damage(rig, $"v.{id:x16}", 512, bytes => whole.CopyTo(bytes, 0));
        uint view = rig.Open("disk@s1", RequestFlags.ReadOnly);
        Assert.Equal(world.State.Disks["disk"].Snapshots["s1"], rig.Read("disk@s1", view, 0, 4 * O).Data);
    }

    [Fact]
    public void A_volume_whose_record_is_damaged_is_listed_again_when_it_is_opened_and_keeps_what_it_was_cloned_from()
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        int slot = rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.Catalogue.ReadAsync()).Single(entry => entry.Record.Name == "clone").Slot);
        Damage(rig, "c.0000", (ulong)slot * 512, bytes => bytes[30] ^= 1);
        Assert.DoesNotContain("clone", rig.List());
        // Who knows whether that is a clone of it?
        rig.Do(XsegOp.Delete, "base@s1");
        rig.UntilIdle();
        uint flow = rig.Open("clone");
        Assert.Contains("clone", rig.List());
        Assert.Equal(world.State.Disks["clone"].Data, rig.Read("clone", flow, 0, (ulong)world.State.Disks["clone"].Data.Length).Data);
    }

    [Fact]
    public void While_a_record_of_the_catalogue_is_damaged_nothing_is_deleted_that_may_have_clones()
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        int slot = rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.Catalogue.ReadAsync()).Single(entry => entry.Record.Name == "clone").Slot);
        byte[] whole = [];
        Damage(rig, "c.0000", (ulong)slot * 512, bytes =>
        {
            whole = [.. bytes];
            Bytes.Of(7, 512).CopyTo(bytes, 0);
        });
        foreach (string name in new[] { "base@s1", "base@s2", "clone@c1", "lone@l1", "base", "clone", "lone" })
        {
            Assert.True(Errno.EIO == rig.Do(XsegOp.Delete, name, flags: RequestFlags.Force).Status, name);
            Assert.Contains("catalogue", world.Refusals());
        }

        rig.UntilIdle();
        // Restored from a copy, all is there, and can be deleted.
        Damage(rig, "c.0000", (ulong)slot * 512, bytes => whole.CopyTo(bytes, 0));
        rig.UntilIdle();
        world.Verify();
        Assert.Equal(0, world.Collect(dryRun: true).Unreferenced);
        world.Run(Op.Delete("base@s2"));
        world.Run(Op.Delete("base@s1"));
        world.DeleteAll();
    }

    [Theory]
    [InlineData(XsegOp.Delete, 0)]
    [InlineData(XsegOp.Discard, 0)]
    [InlineData(XsegOp.Truncate, 700)]
    public void While_the_catalogue_is_lost_nothing_is_deleted_that_may_have_clones(XsegOp loss, int left)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", loss, "c.0000", length: loss == XsegOp.Discard ? 4096 : (ulong)left)).Status);
        rig.Kill(mapperd: true, vlmcd: true);
        foreach (string name in new[] { "base@s1", "clone@c1", "base", "clone" })
        {
            Assert.True(Errno.EIO == rig.Do(XsegOp.Delete, name, flags: RequestFlags.Force).Status, name);
            Assert.Contains("catalogue", world.Refusals());
        }

        rig.UntilIdle();
        if (loss == XsegOp.Truncate) return;
        // The collector lists them again, and then they are whose clones they were.
        Assert.Equal(0, world.Collect().Removed);
        world.Verify();
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Delete, "base@s1").Status);
        world.Run(Op.Delete("base@s2"));
        world.DeleteAll();
    }

    [Theory]
    [InlineData(XsegOp.Delete)]
    [InlineData(XsegOp.Discard)]
    public void A_header_that_is_missing_stops_the_collector(XsegOp loss)
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        string root = $"v.{IdOf(rig, "base"):x16}";
        int length = (int)rig.ClientNode.Run(() => rig.Client.Do("blocks", XsegOp.Info, root)).Serviced;
        byte[] whole = rig.ClientNode.Run(() => rig.Client.Read("blocks", root, 0, 0, (ulong)length)).Data;
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", loss, root, length: (ulong)length)).Status);
        rig.Kill(mapperd: true, vlmcd: true);
        var refused = Refusal(() => world.Collect());
        Assert.Equal(Errno.EUCLEAN, refused.Errno);
        Assert.Contains(root, refused.Message);
        rig.UntilIdle();
        // Restored from a copy, all is there.
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Write("blocks", root, 0, 0, whole)).Status);
        rig.Kill(mapperd: true, vlmcd: true);
        world.Verify();
        Assert.Equal(0, world.Collect(dryRun: true).Unreferenced);
    }

    [Fact]
    public void A_volume_is_not_deleted_while_there_is_a_clone_of_its_snapshot_whose_record_is_damaged()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        var root = rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.LookAsync("base")).Root!);
        byte[] whole = [];
        Damage(rig, $"v.{root.Id:x16}", 512, bytes =>
        {
            whole = [.. bytes];
            bytes[20] ^= 1;
        });
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Delete, "base", flags: RequestFlags.Force).Status);
        Assert.Contains("clone", world.Refusals());
        Damage(rig, $"v.{root.Id:x16}", 512, bytes => whole.CopyTo(bytes, 0));
        world.Verify();
    }

    /// <summary>Of what is being removed the map may be half gone; what shares its chunks is not.</summary>
    [Fact]
    public void A_damaged_chunk_that_a_snapshot_shares_with_one_that_is_being_deleted_stops_the_collector()
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        const int Size = Archipelago.Maps.MapGeometry.ChunkEntries * O;
        Assert.Equal(0, rig.Do(XsegOp.Create, "disk", length: Size).Status);
        byte[] Write(int seed)
        {
            uint flow = rig.Open("disk");
            byte[] data = Bytes.Of(seed, 2 * O);
            Assert.Equal(0, rig.Write("disk", flow, 0, data).Status);
            Assert.Equal(0, rig.Do(XsegOp.Close, "disk").Status);
            return data;
        }

        Write(1);
        Assert.Equal(0, rig.Do(XsegOp.Snapshot, "disk", source: "s1").Status);
        byte[] kept = Write(2);
        string chunk = Name(rig, 'm');
        foreach (string name in new[] { "s2", "s3" }) Assert.Equal(0, rig.Do(XsegOp.Snapshot, "disk", source: name).Status);
        Assert.Equal(0, rig.Do(XsegOp.Rollback, "disk", source: "s2").Status);
        rig.UntilIdle();
        Write(3);
        // Two have come from it: it keeps its place.
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk@s2").Status);
        rig.UntilIdle();
        byte[] whole = [];
        Damage(rig, chunk, 0, bytes =>
        {
            whole = [.. bytes];
            bytes[100] ^= 1;
        });
        Assert.Equal(Errno.EUCLEAN, Refusal(() => new World(rig).Collect()).Errno);
        Damage(rig, chunk, 0, bytes => whole.CopyTo(bytes, 0));
        uint view = rig.Open("disk@s3", RequestFlags.ReadOnly);
        var read = rig.Read("disk@s3", view, 0, 2 * O);
        Assert.Equal(0, read.Status);
        Assert.Equal(kept, read.Data);
    }

    [Fact]
    public void While_the_store_fails_everything_is_an_error_and_then_it_is_there()
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        rig.Change(rig.Memd.Options with { Rules = [Memd.MemdRule.Parse("any:EIO")] });
        rig.Kill(mapperd: true, vlmcd: true);
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Open, "base").Status);
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Info, "").Status);
        rig.Change(rig.Memd.Options with { Rules = [] });
        rig.UntilIdle();
        world.Verify();
    }
}
