using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;
using static Archipelago.Mapperd.Tests.Damages;

namespace Archipelago.Mapperd.Tests;

/// <summary>A volume whose header is lost is given up when an operator says so, and only then; its clones lose nothing.</summary>
public class GiveUpTests
{
    private const int O = Rig.ObjectSize;

    [Theory]
    [InlineData(true, "base")]
    [InlineData(false, "base")]
    [InlineData(true, "lone")]
    public void A_lost_volume_is_given_up_and_the_collector_removes_what_only_it_had(bool isMissing, string lost)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        string header = $"v.{IdOf(rig, lost):x16}";
        if (isMissing) Lose(rig, header);
        else Alter(rig, header, 0, bytes => bytes[300] ^= 1);
        rig.Kill(mapperd: true, vlmcd: true);
        // Neither a look nor a repair does it.
        foreach (bool repair in new[] { false, true })
        {
            var told = world.Check(lost, repair: repair).Findings.Single(one => one.Object == header);
            Assert.False(told.Repairable || told.Repaired);
            Assert.Contains($"fsck {lost} --give-up", told.Advice);
        }

        Assert.NotEqual(0, Refusal(() => world.Collect()).Errno);
        Assert.True(world.Check(lost, giveUp: true).Findings.Single(one => one.Object == header).Repaired);
        world.State.Disks.Remove(lost);
        rig.Kill(mapperd: true, vlmcd: true);
        rig.UntilIdle();
        Assert.True(world.Collect().Removed > 0);
        Assert.Equal(0, world.Collect().Unreferenced);
        world.Verify();
        // The name is free; a clone says whose it was, and that it has all it needs.
        world.Run(Op.Create(lost, 3 * O));
        world.Verify();
        Assert.Equal(lost == "base" ? ["clone"] : [], world.Check().Findings.Select(one => one.Volume));
        if (lost == "base")
        {
            foreach (string gone in new[] { "grand", "clone@c1" }) world.Run(Op.Delete(gone, force: true));
            rig.UntilIdle();
            world.Run(Op.Flatten("clone"));
            rig.UntilIdle();
            Assert.Empty(world.Check(objects: false).Findings);
            world.Verify();
        }

        world.DeleteAll(collects: true);
    }

    [Fact]
    public void A_volume_that_is_sound_or_open_or_of_another_build_is_not_given_up()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        Assert.Equal(Errno.EINVAL, Refusal(() => world.Check(giveUp: true)).Errno);
        Assert.Empty(world.Check("lone", giveUp: true).Findings);
        string header = $"v.{IdOf(rig, "lone"):x16}";
        byte[] whole = Sector(rig, header, 0);
        Alter(rig, header, 0, Sealed(bytes => bytes[8] = 3));
        Assert.False(Assert.Single(world.Check("lone", giveUp: true).Findings).Repaired);
        Alter(rig, header, 0, Sealed(bytes => (bytes[8], bytes[12]) = (whole[8], 0x80)));
        Assert.False(Assert.Single(world.Check("lone", giveUp: true).Findings).Repaired);
        Set(rig, header, whole);
        world.OpenForWriting("lone");
        Alter(rig, header, 0, bytes => bytes[300] ^= 1);
        var told = Assert.Single(world.Check("lone", giveUp: true).Findings);
        Assert.False(told.Repaired);
        Assert.Contains("open here", told.Advice);
        Set(rig, header, whole);
        world.Verify();
        world.DeleteAll();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void What_is_cut_off_is_given_up_again(int writes)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Scenarios.Family(rig);
        Lose(rig, $"v.{IdOf(rig, "base"):x16}");
        rig.Kill(mapperd: true, vlmcd: true);
        rig.UntilIdle();
        rig.OnStore(() =>
        {
            rig.Cut.CutAfter(writes, hold: true);
            return true;
        });
        var check = rig.MapperdNode.Begin(() => rig.Mapperd.Volumes.CheckAsync(new Control.CheckRequest("base", GiveUp: true), _ => default, CancellationToken.None).ContinueWith(_ => true, TaskScheduler.Default));
        rig.Store.Until(() => rig.Cut.Held > 0 || check.IsCompleted, "neither cut off nor done");
        rig.Kill(mapperd: true, vlmcd: true);
        rig.UntilIdle();
        try
        {
            world.Check("base", giveUp: true);
        }
        catch (AggregateException gone) when (gone.InnerException is ErrnoException { Errno: Errno.ENOENT })
        {
            // It was done before the kill.
        }

        world.State.Disks.Remove("base");
        world.Collect();
        Assert.Equal(0, world.Collect().Unreferenced);
        world.Verify();
        Assert.Equal(Errno.ENOENT, rig.Do(XsegOp.Info, "base").Status);
    }

    [Fact]
    public void A_damaged_name_does_not_stop_the_collector()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        Set(rig, "n.noise", Bytes.Of(3, 512));
        Assert.Contains("n.noise", Assert.Single(world.Collect().Skipped));
        Assert.True(Assert.Single(world.Check(repair: true).Findings).Repaired);
        Assert.DoesNotContain("n.noise", rig.Objects());
        Assert.Empty(world.Collect().Skipped);
    }

    [Fact]
    public void A_name_whose_deletion_was_cut_off_is_no_problem_but_the_collectors()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        Set(rig, "n.gone", Format.NameRecord.ToSector(77, "gone", isDropped: true));
        Assert.Empty(world.Check().Findings);
        world.Collect();
        Assert.DoesNotContain("n.gone", rig.Objects());
        Set(rig, "n.gone", Format.NameRecord.ToSector(77, "gone", isDropped: true));
        world.Run(Op.Create("gone", O));
        world.Verify();
        world.DeleteAll();
    }

    [Fact]
    public void Two_volumes_with_one_layer_are_named()
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        byte[] layer = Sector(rig, $"v.{IdOf(rig, "lone"):x16}", 0)[40..48];
        string header = $"v.{IdOf(rig, "grand"):x16}";
        Alter(rig, header, 0, Sealed(bytes => layer.CopyTo(bytes, 40)));
        var found = world.Check(objects: false).Findings;
        Assert.Contains("has too", Assert.Single(found, one => one.What.Contains("layer", StringComparison.Ordinal)).What);
    }
}
