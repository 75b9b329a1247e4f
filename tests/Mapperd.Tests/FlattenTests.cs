using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>FLATTEN beside all else: the clone reads what it read, and its base goes only when it is not needed.</summary>
public class FlattenTests
{
    private const int O = Rig.ObjectSize, Objects = 7000, First = 300, Count = 50;
    private static readonly MapperdOptions Quick = new() { FirstRetry = TimeSpan.FromMilliseconds(10) };
    private static readonly byte[] Data = Bytes.Of(1, Count * O);

    [Fact]
    public void A_clone_whose_base_goes_before_vlmcd_knows_that_it_is_flattened_reads_no_zeros()
    {
        using var rig = new Rig(mapperd: Quick);
        var world = new World(rig);
        world.Run(Op.Create("base", 4 * O));
        world.OpenForWriting("base");
        world.Run(Op.Write("base", 0, Bytes.Of(1, 3 * O)));
        world.Run(Op.Snapshot("base", "s1"));
        world.Close("base");
        world.Run(Op.CloneOf("clone", "base@s1"));
        world.OpenForWriting("clone");
        world.Verify();
        // vlmcd hears of it when mapperd's answer comes, and when the volume's gate is free.
        rig.MapperdNode.Run(() => rig.Mapperd.Volumes.FlattenAsync("clone"));
        world.State.Apply(Op.Flatten("clone"));
        world.Run(Op.Delete("base", force: true));
        rig.UntilIdle();
        world.Verify();
        world.Run(Op.Write("clone", 512, Bytes.Of(2, 4 * O - 512)));
        world.Verify();
    }

    [Fact]
    public void Beside_a_rollback_the_base_is_not_given_up_while_it_is_needed()
    {
        using var rig = new Rig(mapperd: Quick);
        var flatten = Begin(rig);
        Assert.Equal(0, rig.Do(XsegOp.Snapshot, "clone", source: "s").Status);
        Assert.True(Done(rig) < First, "too late");
        Until(rig, First + Count + 50);
        Assert.Equal(0, rig.Do(XsegOp.Rollback, "clone", source: "s").Status);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "clone@s").Status);
        rig.MapperdNode.Until(() => rig.Mapperd.Volumes.Table.Find("clone") is { IsLoaded: true } volume && !volume.Snapshots.Any(), "removal");
        Assert.False(flatten.IsCompleted, "too late: flattened");
        Assert.Equal(Errno.EAGAIN, rig.ClientNode.Run(() => flatten).Status);
        rig.Change(rig.Memd.Options with { Latency = TimeSpan.Zero });
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Delete, "base", flags: RequestFlags.Force).Status);
        Verify(rig);
        Assert.Equal(0, rig.Do(XsegOp.Flatten, "clone").Status);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "base", flags: RequestFlags.Force).Status);
        rig.UntilIdle();
        Verify(rig);
    }

    [Theory]
    [InlineData("vlmcd stops")]
    [InlineData("deleted")]
    [InlineData("ended")]
    public void It_ends_when_it_is_to_end_and_what_was_copied_stays(string why)
    {
        using var rig = new Rig(mapperd: Quick);
        var flatten = Begin(rig);
        Until(rig, First + Count);
        if (why == "vlmcd stops") rig.RestartVlmcd();
        else if (why == "deleted") Assert.Equal(0, rig.Do(XsegOp.Delete, "clone").Status);
        else rig.VlmcdNode.Run(async () =>
        {
            await rig.Vlmcd.Volumes.EndFlattenAsync(new Archipelago.Maps.VolumeName("clone", null));
            return true;
        });
        // A successor may go on with what it finds.
        Assert.Contains(rig.ClientNode.Run(() => flatten).Status, why == "vlmcd stops" ? [0, Errno.ECANCELED] : new[] { Errno.ECANCELED });
        rig.Change(rig.Memd.Options with { Latency = TimeSpan.Zero });
        if (why != "deleted")
        {
            Verify(rig);
            Assert.Equal(0, rig.Do(XsegOp.Flatten, "clone").Status);
            Verify(rig);
        }

        Assert.Equal(0, rig.Do(XsegOp.Delete, "base", flags: RequestFlags.Force).Status);
        rig.UntilIdle();
        if (why != "deleted") Verify(rig);
    }

    [Fact]
    public void An_object_that_is_lost_stays_an_error_however_often_it_is_read()
    {
        using var rig = new Rig(mapperd: Quick);
        var world = Damages.Shared(rig, 4);
        world.Run(Op.Snapshot("disk", "s2"));
        string lost = rig.Objects().Single(name => name.StartsWith("o." + Damages.Name(rig, 'm')[2..16], StringComparison.Ordinal));
        Damages.Lose(rig, lost);
        uint view = rig.Open("disk@s2", RequestFlags.ReadOnly);
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(Errno.EIO, rig.Read("disk@s2", view, 0, 512).Status);
            Assert.Equal(Errno.EIO, rig.Read("disk", world.Open["disk"], 0, 512).Status);
        }
    }

    /// <summary>A large clone with data at some of its objects, on a slow store, that is being flattened.</summary>
    private static Task<Vlmcd.Tests.Answer> Begin(Rig rig)
    {
        Assert.Equal(0, rig.Do(XsegOp.Create, "base", length: (ulong)Objects * O).Status);
        uint flow = rig.Open("base");
        Assert.Equal(0, rig.Write("base", flow, (ulong)First * O, Data).Status);
        Assert.Equal(0, rig.Do(XsegOp.Snapshot, "base", source: "s1").Status);
        Assert.Equal(0, rig.Do(XsegOp.Close, "base").Status);
        Assert.Equal(0, rig.Do(XsegOp.Clone, "clone", source: "base@s1").Status);
        rig.Change(rig.Memd.Options with { Latency = TimeSpan.FromMilliseconds(1) });
        var flatten = rig.ClientNode.Begin(() => rig.Client.Do("volumes", XsegOp.Flatten, "clone"));
        Until(rig, 1);
        return flatten;
    }

    private static void Until(Rig rig, ulong done) => rig.MapperdNode.Until(() => rig.Mapperd.Volumes.Progress.TryGetValue("clone", out var now) && now.Done >= done, "flatten");

    private static ulong Done(Rig rig) => rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.Volumes.Progress["clone"].Done));

    private static void Verify(Rig rig)
    {
        var read = rig.Read("clone", rig.Open("clone"), (ulong)First * O, (ulong)Data.Length);
        Assert.Equal(0, read.Status);
        Assert.True(read.Data.AsSpan().SequenceEqual(Data), "the clone does not read what it held");
        Assert.Equal(0, rig.Do(XsegOp.Close, "clone").Status);
    }
}
