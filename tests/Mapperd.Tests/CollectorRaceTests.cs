using System.Text;
using Archipelago.Mapperd.Format;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using static Archipelago.Mapperd.Tests.Damages;

namespace Archipelago.Mapperd.Tests;

/// <summary>What changes between two looks of the collector, or of a repair, is not taken for what it was.</summary>
public class CollectorRaceTests
{
    private const int O = Rig.ObjectSize;

    private static readonly MapperdOptions s_quick = new() { FirstRetry = TimeSpan.FromMilliseconds(10) };

    /// <summary>It is in no record, so the collector asks for its name: at each of the looks it is renamed.</summary>
    [Fact]
    public async Task A_volume_that_is_renamed_while_the_collector_asks_for_its_name_keeps_its_header()
    {
        for (int look = 1; ; look++)
        {
            using var rig = new Rig(mapperd: s_quick);
            var world = new World(rig);
            world.Run(Op.Create("disk", 4 * O));
            world.OpenForWriting("disk");
            world.Run(Op.Write("disk", 0, Bytes.Of(1, 4 * O)));
            world.Close("disk");
            Lose(rig, "c.0000");
            var collect = CollectUntilLook(rig, "n.disk", look);
            if (collect.IsCompleted) break;
            Assert.Equal(0, world.State.Apply(Op.Rename("disk", "moved")));
            var renamed = rig.ClientNode.Begin(() => world.SendAsync(Op.Rename("disk", "moved")));
            // The collector may have the gate of the name.
            await Task.WhenAny(renamed, Task.Delay(TimeSpan.FromMilliseconds(200)));
            rig.OnStore(() => { rig.Cut.Go(); return true; });
            rig.MapperdNode.Run(() => collect);
            Assert.Equal(0, rig.ClientNode.Run(() => renamed).Status);
            rig.UntilIdle();
            Assert.Equal(1, rig.Count('v'));
            world.Verify();
            world.DeleteAll();
        }
    }

    /// <summary>The collector has read the root; then the volume goes back to a snapshot, which is deleted, and its record is gone when that is read.</summary>
    [Fact]
    public void A_rollback_between_the_two_reads_of_a_header_costs_the_head_nothing()
    {
        using var rig = new Rig(mapperd: s_quick);
        var world = Shared(rig, 20);
        world.Run(Op.Write("disk", 0, Bytes.Of(2, 20 * O)));
        world.Close("disk");
        rig.UntilIdle();
        var seen = rig.MapperdNode.Run(() => rig.Mapperd.Volumes.LookAsync("disk"));
        byte[] header = Encoding.ASCII.GetBytes($"v.{seen.Root!.Id:x16}"), directory = Encoding.ASCII.GetBytes($"d.{seen.Root.Id:x16}.{seen.Find("s1")!.Generation:x16}");
        int records = 0, maps = 0;
        rig.OnStore(() => rig.Cut.Stop = request =>
            IsOfData(request) || (request.Op == XsegOp.Read && request.Offset >= 512 && request.Target.SequenceEqual(header) && ++records == 1));
        var collect = rig.MapperdNode.Begin(() => rig.Mapperd.Volumes.CollectAsync(dryRun: false));
        rig.Store.Until(() => rig.Cut.Stopped > 0, "the header is not read");
        world.Run(Op.Rollback("disk", "s1"));
        world.Run(Op.Delete("disk@s1"));
        rig.Store.Until(() => rig.Cut.Stopped > 1, "the removal does not begin");
        // The records are read as they are now, with a snapshot that is being deleted; before its map is read it is gone.
        rig.OnStore(() => rig.Cut.Stop = request => IsOfData(request) || (request.Op == XsegOp.Read && request.Target.SequenceEqual(directory) && ++maps == 1));
        rig.OnStore(() => { rig.Cut.GoOnly(XsegOp.Read); return true; });
        rig.Store.Until(() => maps > 0 || collect.IsCompleted, "no map is read");
        rig.OnStore(() => { rig.Cut.Stop = null; rig.Cut.GoOnly(XsegOp.Delete); return true; });
        rig.MapperdNode.Until(() => rig.Mapperd.Volumes.Purges <= 1, "the removal does not end");
        rig.OnStore(() => { rig.Cut.Go(); return true; });
        rig.MapperdNode.Run(() => collect);
        rig.UntilIdle();
        world.Verify();
        world.Collect();
        world.DeleteAll();
    }

    /// <summary>Of a name that a rename has left, or that is damaged, another host makes a volume: it has looked the name up before the collector, or the repair, was at it.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_name_that_another_host_takes_while_it_is_being_freed_stays(bool isDamaged)
    {
        for (int look = 1; ; look++)
        {
            using var rig = new Rig(mapperd: s_quick);
            var world = new World(rig);
            world.Run(Op.Create("disk", 4 * O));
            byte[] stale = NameRecord.ToSector(IdOf(rig, "disk"), "ghost");
            if (isDamaged) stale[30] ^= 1;
            // Of a damaged name that a header claims the repair is another.
            else world.Run(Op.Create("ghost", 4 * O));
            byte[] made = NameRecord.ToSector(isDamaged ? 0x1234 : IdOf(rig, "ghost"), "ghost");
            Set(rig, "n.ghost", stale);
            Task work = isDamaged ? RepairUntilLook(rig, look) : CollectUntilLook(rig, "n.ghost", look);
            if (work.IsCompleted) break;
            // The compare-and-swap of the other host finds what it expects.
            Set(rig, "n.ghost", made);
            rig.OnStore(() => { rig.Cut.Go(); return true; });
            rig.MapperdNode.Run(async () => { await work; return true; });
            Assert.True(Sector(rig, "n.ghost", 0).AsSpan().SequenceEqual(made), $"the name is gone that was taken before look {look}");
        }
    }

    /// <summary>Nobody knows which directory is that of the snapshot whose record is damaged.</summary>
    [Fact]
    public void A_directory_is_not_deleted_beside_a_damaged_record_of_a_snapshot()
    {
        using var rig = new Rig(mapperd: s_quick);
        var world = Scenarios.Family(rig);
        rig.UntilIdle();
        string header = $"v.{IdOf(rig, "base"):x16}";
        int port = rig.Mapperd.Context.Port.Number, directories = rig.Count('d');
        // The collector has read all maps when the record is damaged.
        bool isMarked = false;
        rig.OnStore(() => rig.Cut.Stop = request => request.Issuer == port && request.Op == XsegOp.Acquire && !isMarked && (isMarked = true));
        var collect = rig.MapperdNode.Begin(() => rig.Mapperd.Volumes.CollectAsync(dryRun: false));
        rig.Store.Until(() => rig.Cut.Stopped > 0, "no volume is locked");
        Alter(rig, header, 512, bytes => bytes[30] ^= 1);
        rig.OnStore(() => { rig.Cut.Go(); return true; });
        rig.MapperdNode.Run(() => collect);
        Assert.Equal(directories, rig.Count('d'));
        Damage(rig, header, 512, bytes => bytes[30] ^= 1);
        world.Verify();
    }

    private static bool IsOfData(Request request) => request.Op == XsegOp.Delete && request.Target.StartsWith("o."u8);

    /// <summary>Stops the collector before its so-manyth look at an object; it is completed if there are not so many.</summary>
    private static Task<Volumes.Collection> CollectUntilLook(Rig rig, string name, int look)
    {
        StopAtLook(rig, name, look);
        var collect = rig.MapperdNode.Begin(() => rig.Mapperd.Volumes.CollectAsync(dryRun: false));
        rig.Store.Until(() => rig.Cut.Stopped > 0 || collect.IsCompleted, $"look {look} at {name}");
        return collect;
    }

    private static Task<bool> RepairUntilLook(Rig rig, int look)
    {
        StopAtLook(rig, "n.ghost", look);
        var repair = rig.MapperdNode.Begin(async () =>
        {
            await rig.Mapperd.Volumes.CheckAsync(new Control.CheckRequest(null, false, true), _ => ValueTask.CompletedTask, default);
            return true;
        });
        rig.Store.Until(() => rig.Cut.Stopped > 0 || repair.IsCompleted, $"look {look} at the name");
        return repair;
    }

    private static void StopAtLook(Rig rig, string name, int look)
    {
        byte[] target = Encoding.ASCII.GetBytes(name);
        int port = rig.Mapperd.Context.Port.Number, reads = 0;
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Read && request.Issuer == port && request.Target.SequenceEqual(target) && ++reads == look);
    }
}
