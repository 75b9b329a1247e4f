using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

public class OperationTests
{
    private const int O = Rig.ObjectSize;

    [Theory]
    [InlineData(0)]
    [InlineData(6 * O - 512)]
    [InlineData(9 * O + 1024)]
    public void A_clone_begins_as_the_snapshot_and_neither_shows_what_is_written_to_the_other(int size)
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        world.Run(Op.CloneOf("new", "base@s2", size));
        world.OpenForWriting("new");
        world.OpenForWriting("base");
        world.Run(Op.Write("new", 512, Bytes.Of(50, 3 * O)));
        world.Run(Op.Write("base", O, Bytes.Of(51, 2 * O)));
        world.Verify();
        world.DeleteAll();
    }

    [Fact]
    public void A_chain_of_clones_reads_through_and_each_link_is_kept_while_it_is_needed()
    {
        using var rig = new Rig();
        var world = new World(rig);
        world.Run(Op.Create("v0", 8 * O));
        for (int i = 0; i < 8; i++)
        {
            world.OpenForWriting($"v{i}");
            world.Run(Op.Write($"v{i}", i * O, Bytes.Of(i, O)));
            world.Close($"v{i}");
            world.Run(Op.Snapshot($"v{i}", "s"));
            world.Run(Op.CloneOf($"v{i + 1}", $"v{i}@s"));
        }

        world.Verify();
        Assert.Equal(8, rig.Count('o'));
        for (int i = 0; i < 8; i++) world.Run(Op.Delete($"v{i}@s"));
        world.Run(Op.Flatten("v8"));
        world.Run(Op.Delete("v7", force: true));
        world.Verify();
        world.DeleteAll();
    }

    [Fact]
    public void A_snapshot_under_load_is_a_moment_that_all_writers_have_passed_or_not()
    {
        const int Writers = 4;
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", Writers * 4 * O);
        rig.Change(rig.Memd.Options with { Jitter = TimeSpan.FromMicroseconds(200) });
        bool stop = false;
        var load = rig.ClientNode.Begin(async () =>
        {
            await Task.WhenAll(Enumerable.Range(0, Writers).Select(async writer =>
            {
                // Two writes after one another: the second is never there without the first.
                for (byte round = 1; round < 250 && !Volatile.Read(ref stop); round++)
                    foreach (int at in new[] { 0, 2 * O })
                    {
                        var block = new byte[1024];
                        Array.Fill(block, round);
                        Assert.Equal(0, (await rig.Client.Write("volumes", "disk", flow, (ulong)(writer * 4 * O + at), block)).Status);
                    }
            }));
            return true;
        });
        for (int i = 0; i < 10; i++) Assert.Equal(0, rig.Do(XsegOp.Snapshot, "disk", source: $"s{i}").Status);
        Volatile.Write(ref stop, true);
        rig.ClientNode.Run(() => load);
        for (int i = 0; i < 10; i++)
        {
            uint view = rig.Open($"disk@s{i}", RequestFlags.ReadOnly);
            byte[] all = rig.Read($"disk@s{i}", view, 0, Writers * 4 * O).Data;
            for (int writer = 0; writer < Writers; writer++)
            {
                int first = all[writer * 4 * O], second = all[writer * 4 * O + 2 * O];
                Assert.True(first == second || first == second + 1, $"snapshot {i}, writer {writer}: {first}, {second}");
                Assert.Equal(first, all[writer * 4 * O + 1023]);
            }
        }
    }

    [Fact]
    public void What_a_shrink_cut_off_reads_as_zeros_after_a_grow_and_snapshots_keep_it()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        foreach (int size in new[] { 3 * O + 512, O, 512, 6 * O, 20 * O, 2 * O - 512, 7 * O })
        {
            world.Run(Op.Resize("base", size));
            world.Run(Op.Resize("clone", size));
            world.Verify();
        }

        world.Run(Op.Rollback("base", "s2"));
        world.Verify();
        world.DeleteAll();
    }

    [Fact]
    public void Seven_writes_to_one_shared_object_at_the_same_time_make_one_copy()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        world.OpenForWriting("grand");
        rig.OnStore(() => rig.Cut.Trace = []);
        var data = Enumerable.Range(0, 7).Select(i => Bytes.Of(i, 512)).ToArray();
        rig.ClientNode.Run(async () =>
        {
            foreach (var answer in await Task.WhenAll(data.Select((bytes, i) => rig.Client.Write("volumes", "grand", world.Open["grand"], (ulong)(1024 * i), bytes)))) Assert.Equal(0, answer.Status);
            return true;
        });
        Assert.Single(rig.OnStore(() => rig.Cut.Trace!.Where(change => change.StartsWith("Copy", StringComparison.Ordinal)).ToArray()));
        for (int i = 0; i < 7; i++) world.State.Apply(Op.Write("grand", 1024 * i, data[i]));
        world.Verify();
    }

    [Fact]
    public void Zeros_over_whole_shared_objects_copy_nothing()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        world.OpenForWriting("clone");
        rig.OnStore(() => rig.Cut.Trace = []);
        world.Run(Op.Zero("clone", O, 2 * O, discard: true));
        world.Run(Op.Zero("clone", 3 * O, O, discard: false));
        Assert.DoesNotContain(rig.OnStore(() => rig.Cut.Trace!.ToArray()), change => change.StartsWith("Copy", StringComparison.Ordinal));
        world.Verify();
        world.DeleteAll();
    }

    [Fact]
    public void A_hash_is_of_content_whatever_the_maps()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        byte[] Hash(string name) => rig.Do(XsegOp.Hash, name) is { Status: 0 } answer ? answer.Result[..32] : throw new InvalidOperationException(name);
        byte[] first = Hash("base@s1");
        Assert.Equal(first, Hash("base@s1"));
        world.Run(Op.CloneOf("same", "base@s1"));
        Assert.Equal(first, Hash("same"));
        world.Run(Op.Flatten("same"));
        Assert.Equal(first, Hash("same"));
        world.OpenForWriting("same");
        world.Run(Op.Write("same", 0, [.. world.State.Disks["same"].Data[..512]]));
        Assert.Equal(first, Hash("same"));
        world.Run(Op.Write("same", 0, Bytes.Of(99, 512)));
        Assert.NotEqual(first, Hash("same"));
        Assert.NotEqual(first, Hash("base@s2"));
    }

    [Fact]
    public void What_was_opened_only_for_reading_is_not_written_to()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        foreach (string name in new[] { "base@s1", "base" })
        {
            uint flow = rig.Open(name, RequestFlags.ReadOnly);
            Assert.Equal(Errno.EROFS, rig.Write(name, flow, 0, new byte[512]).Status);
            Assert.Equal(Errno.EROFS, rig.Do(XsegOp.Discard, name, flow, 0, 512).Status);
            Assert.Equal(0, rig.Do(XsegOp.Close, name, flags: RequestFlags.ReadOnly).Status);
        }

        // A snapshot is for reading, whatever is asked for.
        uint snapshot = rig.Open("base@s1");
        Assert.Equal(Errno.EROFS, rig.Write("base@s1", snapshot, 0, new byte[512]).Status);
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Delete, "base@s1").Status);
        Assert.Equal(0, rig.Do(XsegOp.Close, "base@s1").Status);
        world.Verify();
    }

    [Fact]
    public void Deleting_a_base_and_its_clone_one_after_another_leaves_nothing_and_never_waits_for_ever()
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        rig.Change(rig.Memd.Options with { Latency = TimeSpan.FromMicroseconds(500) });
        foreach (string name in new[] { "grand", "clone", "base", "lone" }) world.Run(Op.Delete(name, force: true));
        rig.UntilIdle();
        Assert.DoesNotContain(rig.Objects(), name => name[0] != 'x');
    }

    [Fact]
    public void An_open_volume_outlives_any_number_of_mapperds_and_is_closed_by_the_last()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        world.OpenForWriting("clone");
        for (int round = 0; round < 6; round++)
        {
            if (round % 2 == 0) rig.KillMapperd();
            else rig.RestartMapperd();
            // A change is what the new one hears of the volume first.
            if (round == 2) world.Run(Op.Snapshot("clone", "between"));
            world.Run(Op.Write("clone", round * O, Bytes.Of(round, O)));
        }

        rig.KillMapperd();
        world.Close("clone");
        world.Run(Op.Rename("clone", "free"));
        world.Verify();
    }

    /// <summary>A removal that goes on for long is interrupted; what it has left to do is done under the new name, or with the volume.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_volume_is_renamed_or_deleted_while_a_snapshot_of_it_is_being_removed(bool renames)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = new World(rig);
        world.Run(Op.Create("disk", 200 * O));
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", 0, Bytes.Of(1, 200 * O)));
        world.Run(Op.Snapshot("disk", "s1"));
        world.Run(Op.Write("disk", 0, Bytes.Of(2, 200 * O)));
        world.Close("disk");
        rig.Change(rig.Memd.Options with { Latency = TimeSpan.FromMilliseconds(5) });
        world.Run(Op.Delete("disk@s1"));
        rig.MapperdNode.Until(() => rig.Mapperd.Volumes.Table.Find("disk") is { IsPurging: true }, "no removal begins");
        world.Run(renames ? Op.Rename("disk", "other") : Op.Delete("disk"));
        rig.Change(rig.Memd.Options with { Latency = TimeSpan.Zero });
        // A new volume of the name is none of the old one's business.
        world.Run(Op.Create("disk", 4 * O));
        world.OpenForWriting("disk");
        rig.UntilIdle();
        world.Run(Op.Write("disk", 0, Bytes.Of(3, 4 * O)));
        world.Run(Op.Snapshot("disk", "s1"));
        world.Run(Op.Write("disk", O, Bytes.Of(4, O)));
        rig.UntilIdle();
        Assert.Equal((renames ? 200 : 0) + 5, rig.Count('o'));
        world.Verify();
        world.DeleteAll();
    }

    [Fact]
    public void How_far_the_removal_of_a_deleted_volume_is_can_be_seen()
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        Assert.Equal(0, rig.Do(XsegOp.Create, "disk", length: 3ul * Archipelago.Maps.MapGeometry.ChunkEntries * O).Status);
        var record = rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.Catalogue.ReadAsync()).Single().Record);
        Assert.Null(rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.Volumes.RemovalOf(record))));
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
        rig.MapperdNode.Until(() => rig.Mapperd.Volumes.RemovalOf(record)?.Work is { Done: > 0, Of: 3 }, "progress");
        rig.UntilIdle();
        Assert.Null(rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.Volumes.RemovalOf(record))));
    }
}
