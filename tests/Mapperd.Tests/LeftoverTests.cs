using System.Text;
using Archipelago.Mapperd.Format;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>What unfinished changes have left is nobody's, and stands in nobody's way.</summary>
public class LeftoverTests
{
    private const int O = Rig.ObjectSize;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_snapshot_that_was_cut_off_after_its_record_never_comes_back(bool isKilled)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = new World(rig);
        world.Run(Op.Create("disk", 6 * O));
        world.OpenForWriting("disk");
        for (int i = 1; i <= 4; i++)
        {
            world.Run(Op.Write("disk", i * O - O / 2, Bytes.Of(i, O)));
            world.Run(Op.Snapshot("disk", $"s{i}"));
        }

        // Its sector is one that the root counts already.
        world.Run(Op.Delete("disk@s3"));
        rig.UntilIdle();
        world.Run(Op.Write("disk", 0, Bytes.Of(5, 2 * O)));
        rig.OnStore(() => rig.Cut.Trace = []);
        rig.OnStore(() =>
        {
            rig.Cut.CutAfter(2, hold: false);
            return true;
        });
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Snapshot, "disk", source: "ghost").Status);
        var trace = rig.OnStore(() => rig.Cut.Trace!.ToArray());
        Assert.Equal(["Write d", "Write v"], trace.Select(change => change[..7]));
        if (isKilled) rig.KillMapperd();
        else rig.Mend();

        // A place before it is free, and the next snapshot takes that.
        world.Run(Op.Delete("disk@s1"));
        rig.UntilIdle();
        world.Verify();
        world.Run(Op.Snapshot("disk", "s5"));
        world.Run(Op.Write("disk", O, Bytes.Of(6, 3 * O)));
        rig.KillMapperd();
        world.Verify();
        world.Close("disk");
        rig.Kill(mapperd: true, vlmcd: true);
        foreach (string snapshot in new[] { "s5", "s2", "s4" })
        {
            world.Verify();
            world.Run(Op.Delete($"disk@{snapshot}"));
            rig.UntilIdle();
        }

        world.Verify();
        world.Collect();
        world.DeleteAll();
    }

    [Fact]
    public void The_collector_goes_on_beside_the_end_of_a_removal()
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = new World(rig);
        world.Run(Op.Create("disk", 6 * O));
        world.OpenForWriting("disk");
        for (int i = 1; i <= 3; i++)
        {
            world.Run(Op.Write("disk", 0, Bytes.Of(i, 5 * O)));
            world.Run(Op.Snapshot("disk", $"s{i}"));
        }

        world.Run(Op.Write("disk", 0, Bytes.Of(4, 2 * O)));
        rig.UntilIdle();
        // What only it has referred to is gone, with a chunk of its map; its directory and its record are not.
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Delete && request.Target.StartsWith("d."u8));
        world.Run(Op.Delete("disk@s2"));
        rig.Store.Until(() => rig.Cut.Stopped > 0, "the removal does not come to its end");
        Assert.Equal(SnapshotState.Purged, rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.Volumes.Table.Find("disk")!.Find(2)!.State)));
        int users = rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.Volumes.Table.Find("disk")!.Users));
        var collect = rig.MapperdNode.Begin(() => rig.Mapperd.Volumes.CollectAsync(dryRun: false));
        // It has read all maps when it waits for the volume.
        rig.MapperdNode.Until(() => collect.IsCompleted || rig.Mapperd.Volumes.Table.Find("disk") is { } disk && disk.Users > users, "the collector stands still");
        Assert.False(collect.IsFaulted, collect.Exception?.InnerException?.Message);
        rig.OnStore(() =>
        {
            rig.Cut.Go();
            return true;
        });
        rig.MapperdNode.Run(() => collect);
        rig.UntilIdle();
        world.Verify();
        Assert.Equal(0, world.Collect(dryRun: true).Unreferenced);
        world.DeleteAll();
    }

    [Fact]
    public void The_collector_goes_on_when_a_snapshot_is_removed_whose_map_it_is_about_to_read()
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        rig.UntilIdle();
        string directory = rig.MapperdNode.Run(async () =>
        {
            var seen = await rig.Mapperd.Volumes.LookAsync("base");
            return $"d.{seen.Root!.Id:x16}.{seen.Find("s2")!.Generation:x16}";
        });
        bool isFirst = true;
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Read && request.Target.SequenceEqual(System.Text.Encoding.ASCII.GetBytes(directory)) && isFirst && !(isFirst = false));
        var collect = rig.MapperdNode.Begin(() => rig.Mapperd.Volumes.CollectAsync(dryRun: false));
        rig.Store.Until(() => rig.Cut.Stopped > 0 || collect.IsCompleted, "the map is not read");
        Assert.False(collect.IsCompleted);
        world.Run(Op.Delete("base@s2"));
        // The collector counts as background work itself.
        rig.MapperdNode.Until(() => rig.Mapperd.Volumes.Purges == 1, "the snapshot is not removed");
        Assert.DoesNotContain(directory, rig.Objects());
        rig.OnStore(() =>
        {
            rig.Cut.Go();
            return true;
        });
        rig.MapperdNode.Run(() => collect);
        world.Verify();
        Assert.Equal(0, world.Collect(dryRun: true).Unreferenced);
        world.DeleteAll();
    }

    /// <summary>A host that hung for longer than its lease, in the middle of it; another one has taken the clone for cut off, and removed its record.</summary>
    [Theory]
    [InlineData("v.")]
    [InlineData("n.new")]
    public void A_clone_that_another_host_took_for_cut_off_does_not_exist_in_the_end(string at)
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Write && Encoding.ASCII.GetString(request.Target).StartsWith(at, StringComparison.Ordinal));
        var clone = rig.ClientNode.Begin(() => rig.Client.Do("volumes", XsegOp.Clone, "new", source: "base@s1"));
        rig.Store.Until(() => rig.Cut.Stopped > 0, "the clone is not made");
        int slot = rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.Catalogue.ReadAsync()).Single(entry => entry.Record.Name == "new").Slot);
        rig.OnStore(() => rig.Cut.Stop = null);
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", XsegOp.Discard, "c.0000", offset: (ulong)slot * 512, length: 512)).Status);
        rig.OnStore(() =>
        {
            rig.Cut.Go();
            return true;
        });
        Assert.Equal(Errno.EAGAIN, rig.ClientNode.Run(() => clone).Status);
        rig.UntilIdle();
        Assert.Equal(Errno.ENOENT, rig.Do(XsegOp.Open, "new").Status);
        world.Verify();
        world.Run(Op.CloneOf("new", "base@s1"));
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Delete, "base@s1").Status);
        world.DeleteAll();
    }

    [Fact]
    public async Task A_volume_that_is_made_while_the_collector_drops_its_name_keeps_the_name()
    {
        using var rig = new Rig();
        var world = new World(rig);
        // As a deletion that was cut off has left it.
        rig.ClientNode.Run(async () =>
        {
            Assert.Equal(0, await new ObjectIo(rig.Client.Context, rig.Client.Context.OpenRoute("blocks"), 0).WriteAsync("n.disk"u8.ToArray(), 0, new byte[512]));
            return true;
        });
        // The collector has taken the name, and is about to delete it.
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Delete && request.Target.SequenceEqual("n.disk"u8));
        var collection = rig.MapperdNode.Begin(() => rig.Mapperd.Volumes.CollectAsync(dryRun: false));
        rig.Store.Until(() => rig.Cut.Stopped > 0, "no name is deleted");
        Assert.Equal(0, world.State.Apply(Op.Create("disk", 2 * O)));
        var made = rig.ClientNode.Begin(() => world.SendAsync(Op.Create("disk", 2 * O)));
        // Long enough for one that does not wait for the collector.
        await Task.WhenAny(made, Task.Delay(TimeSpan.FromMilliseconds(300)));
        rig.OnStore(() =>
        {
            rig.Cut.Go();
            return true;
        });
        await collection.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(0, (await made.WaitAsync(TimeSpan.FromSeconds(30))).Status);
        world.Verify();
        world.DeleteAll();
    }

    [Fact]
    public async Task A_volume_is_made_though_its_name_was_dropped_between_a_look_and_the_commit()
    {
        using var rig = new Rig();
        var world = new World(rig);
        world.Run(Op.Create("disk", O));
        world.Run(Op.Delete("disk"));
        rig.UntilIdle();
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Write && request.Target.StartsWith("d."u8));
        Assert.Equal(0, world.State.Apply(Op.Create("disk", 2 * O)));
        var made = rig.ClientNode.Begin(() => world.SendAsync(Op.Create("disk", 2 * O)));
        rig.Store.Until(() => rig.Cut.Stopped > 0, "no directory is written");
        // As the collector of another host leaves it for a moment: named for something that does not exist.
        rig.ClientNode.Run(async () =>
        {
            var io = new ObjectIo(rig.Client.Context, rig.Client.Context.OpenRoute("blocks"), 0);
            Assert.Equal(0, await io.WriteAsync("n.disk"u8.ToArray(), 0, NameRecord.ToSector(0x1234, "disk"), 0, RequestFlags.ForceUnitAccess));
            return true;
        });
        rig.OnStore(() =>
        {
            rig.Cut.Go();
            return true;
        });
        Assert.Equal(0, (await made.WaitAsync(TimeSpan.FromSeconds(30))).Status);
        world.Verify();
        world.DeleteAll(collects: true);
    }
}
