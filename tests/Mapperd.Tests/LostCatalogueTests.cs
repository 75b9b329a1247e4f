using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Runtime;
using Archipelago.Xseg;
using static Archipelago.Mapperd.Tests.Damages;

namespace Archipelago.Mapperd.Tests;

/// <summary>The catalogue alone says which clones a volume has: when it was lost, nothing goes that they need, until all of them are listed again.</summary>
public class LostCatalogueTests
{
    private const int O = Rig.ObjectSize;

    private static readonly MapperdOptions s_quick = new() { FirstRetry = TimeSpan.FromMilliseconds(10) };

    [Theory]
    [InlineData(XsegOp.Truncate)]
    [InlineData(XsegOp.Rename)]
    public void A_change_lists_a_base_again_and_its_clones_are_not_forgotten(XsegOp change)
    {
        using var rig = new Rig(mapperd: s_quick);
        var world = Scenarios.Family(rig);
        Lose(rig, "c.0000");
        rig.Kill(mapperd: true, vlmcd: true);
        string name = change == XsegOp.Rename ? "other" : "base";
        world.Run(change == XsegOp.Rename ? Op.Rename("base", name) : Op.Resize(name, 9 * O));
        Assert.Equal(name, rig.List().Trim());
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Delete, name, flags: RequestFlags.Force).Status);
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Delete, $"{name}@s1").Status);
        Assert.Contains("volume gc", world.Refusals());
        var found = Check(rig);
        Assert.Contains(found, one => one.Volume == name && one.What.Contains("alone", StringComparison.Ordinal));
        Assert.All(found, one => Assert.Contains("volume gc", one.Advice));
        IsWholeAfterCollection(rig, world, name);
    }

    /// <summary>One record is damaged, and the others are lost; then that one sector is restored from a copy.</summary>
    [Fact]
    public void A_base_that_was_listed_again_when_it_was_opened_does_not_count_as_one_without_clones()
    {
        using var rig = new Rig(mapperd: s_quick);
        var world = Scenarios.Family(rig);
        Lose(rig, "c.0000");
        Set(rig, "c.0000", Bytes.Of(7, 512));
        rig.Kill(mapperd: true, vlmcd: true);
        world.OpenForWriting("base");
        Assert.Equal("base", rig.List().Trim());
        world.Close("base");
        Set(rig, "c.0000", new byte[512]);
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Delete, "base@s1").Status);
        IsWholeAfterCollection(rig, world, "base");
    }

    [Fact]
    public void A_volume_that_never_had_a_snapshot_needs_no_collector()
    {
        using var rig = new Rig(mapperd: s_quick);
        var world = new World(rig);
        world.Run(Op.Create("disk", 2 * O));
        Lose(rig, "c.0000");
        world.Run(Op.Resize("disk", 3 * O));
        world.Run(Op.Snapshot("disk", "s1"));
        world.Run(Op.Delete("disk@s1"));
        world.DeleteAll();
    }

    [Fact]
    public async Task While_the_collector_lists_volumes_again_no_base_goes_whose_clones_it_has_not_listed_yet()
    {
        using var rig = new Rig(mapperd: s_quick);
        var world = Scenarios.Family(rig);
        Lose(rig, "c.0000");
        int port = rig.Mapperd.Context.Port.Number, changes = 0;
        while (true)
        {
            int writes = 0;
            rig.OnStore(() => rig.Cut.Stop = request => request.Issuer == port && request.Op == XsegOp.Write && request.Target.SequenceEqual("c.0000"u8) && ++writes == 1);
            var collect = rig.MapperdNode.Begin(() => rig.Mapperd.Volumes.CollectAsync(changes > 0));
            rig.Store.Until(() => rig.Cut.Stopped > 0 || collect.IsCompleted, "the collector stands still");
            if (collect.IsCompleted) break;
            foreach (string name in new[] { "base", "clone", "base@s1", "clone@c1" })
                Assert.True(rig.Do(XsegOp.Delete, name, flags: RequestFlags.Force).Status is Errno.EIO or Errno.EBUSY, $"{name} goes before write {changes} of the catalogue");
            // It dies there; the next one goes on.
            rig.OnStore(() => { rig.Cut.CutAfter(1, hold: false); rig.Cut.Go(); return true; });
            await Task.WhenAny(collect, Task.Delay(TimeSpan.FromSeconds(60)));
            rig.Mend();
            rig.KillMapperd();
            port = rig.Mapperd.Context.Port.Number;
            Assert.True(++changes < 50, "the collector lists volumes again and again");
        }

        rig.OnStore(() => rig.Cut.Stop = null);
        Assert.True(changes >= 4, $"{changes} records were written");
        IsWholeAfterCollection(rig, world, "base");
    }

    /// <summary>Two volumes that are being removed, of which a damaged catalogue says that each is the other's clone.</summary>
    [Fact]
    public void Volumes_that_are_clones_of_each_other_are_removed()
    {
        using var rig = new Rig(mapperd: s_quick);
        var world = new World(rig);
        world.Run(Op.Create("one", 2 * O));
        world.Run(Op.Create("two", 2 * O));
        var entries = rig.MapperdNode.Run(() => rig.Mapperd.Volumes.Catalogue.ReadAsync().AsTask());
        var ids = entries.Select(entry => entry.Record.Id).ToArray();
        foreach (var entry in entries)
        {
            var root = rig.MapperdNode.Run(() => rig.Mapperd.Volumes.Store.ReadRootAsync(entry.Record.Id).AsTask())!;
            Set(rig, $"v.{root.Id:x16}", (root with { IsDeleted = true, Sequence = root.Sequence + 1 }).ToSector());
            var forged = entry.Record with { State = RecordState.Deleting, BaseVolume = ids.Single(id => id != root.Id), BaseSnapshot = 1 };
            Set(rig, "c.0000", forged.ToSector(), (ulong)entry.Slot * 512);
        }

        rig.KillMapperd();
        rig.UntilIdle();
        Assert.Empty(rig.MapperdNode.Run(() => rig.Mapperd.Volumes.Catalogue.ReadAsync().AsTask()));
        Assert.Equal(0, rig.Count('v'));
    }

    private static void IsWholeAfterCollection(Rig rig, World world, string name)
    {
        world.Collect();
        world.Verify();
        Assert.Empty(Check(rig));
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Delete, $"{name}@s1").Status);
        world.Run(Op.Delete($"{name}@s2"));
        world.DeleteAll();
    }

    private static List<CheckFinding> Check(Rig rig)
    {
        var found = new List<CheckFinding>();
        return rig.MapperdNode.Run(async () =>
        {
            await rig.Mapperd.Volumes.CheckAsync(new CheckRequest(), item =>
            {
                if (item.Finding is { } one) found.Add(one);
                return ValueTask.CompletedTask;
            }, default);
            return found;
        });
    }
}
