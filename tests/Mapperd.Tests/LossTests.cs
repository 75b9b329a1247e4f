using Archipelago.Mapperd.Format;
using Archipelago.Runtime;
using Archipelago.Xseg;
using static Archipelago.Mapperd.Tests.Damages;

namespace Archipelago.Mapperd.Tests;

/// <summary>Who loses a volume to another host never writes to it again before he has closed it; who has it keeps its lock, whoever else is at it here.</summary>
public class LossTests
{
    private const int O = Rig.ObjectSize;
    private static readonly MapperdOptions Quick = new() { FirstRetry = TimeSpan.FromMilliseconds(10) };

    [Theory]
    [InlineData("vlmcd dies")]
    [InlineData("vlmcd is restarted")]
    [InlineData("shrink")]
    [InlineData("both die")]
    public void Who_has_lost_a_volume_does_not_write_to_it_again_without_closing_it(string then)
    {
        using var rig = new Rig(mapperd: Quick);
        var (world, flow) = Lost(rig);
        Assert.Equal(Errno.ESTALE, rig.Write("disk", flow, 0, Bytes.Of(2, O)).Status);
        if (then == "vlmcd dies") rig.KillVlmcd();
        else if (then == "vlmcd is restarted") rig.RestartVlmcd();
        else if (then == "both die") rig.Kill(mapperd: true, vlmcd: true);
        else Assert.Equal(Errno.ESTALE, rig.Do(XsegOp.Truncate, "disk", length: 4 * O).Status);
        for (int i = 0; i < 2; i++) Assert.Equal(Errno.ESTALE, rig.Write("disk", flow, 0, Bytes.Of(3, O)).Status);
        Assert.Equal(Errno.ESTALE, rig.Do(XsegOp.Close, "disk", flow).Status);
        world.Open.Clear();
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", O, Bytes.Of(4, O)));
        world.Verify();
    }

    [Fact]
    public void The_end_of_a_removal_that_began_before_a_loss_leaves_the_lock_of_who_has_opened_the_volume_since()
    {
        using var rig = new Rig(mapperd: Quick);
        var world = Shared(rig, 20);
        world.Run(Op.Write("disk", 0, Bytes.Of(2, 20 * O)));
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Delete && request.Target.StartsWith("o."u8));
        world.Run(Op.Delete("disk@s1"));
        rig.Store.Until(() => rig.Cut.Stopped > 0, "no removal begins");
        world.Flush();
        ulong id = IdOf(rig, "disk");
        Lose(rig, id);
        Assert.Equal(Errno.ESTALE, rig.Do(XsegOp.Close, "disk").Status);
        world.Open.Clear();
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", 0, Bytes.Of(3, O)));
        rig.OnStore(() =>
        {
            rig.Cut.Go();
            return true;
        });
        rig.UntilIdle();
        Assert.Equal(1, rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.Volumes.Table.Find("disk")?.LockUsers ?? 0)));
        Assert.True(IsHeld(rig, id));
        world.Run(Op.Write("disk", O, Bytes.Of(4, O)));
        world.Verify();
        world.DeleteAll();
    }

    [Theory]
    [InlineData("resize")]
    [InlineData("snapshot")]
    [InlineData("rename")]
    [InlineData("delete")]
    [InlineData("open")]
    public void A_volume_that_was_lost_and_that_nobody_has_open_any_more_is_changed_as_any_other(string how)
    {
        using var rig = new Rig(mapperd: Quick);
        var (world, flow) = Lost(rig);
        rig.Kill(mapperd: true, vlmcd: true);
        // Its user dies, and closes nothing.
        unsafe
        {
            Xseg.Tables.FlowUse.Leave(rig.Segment, flow, rig.Client.Context.Port.Number);
        }

        world.Open.Clear();
        if (how == "resize") world.Run(Op.Resize("disk", 9 * O));
        else if (how == "snapshot") world.Run(Op.Snapshot("disk", "s"));
        else if (how == "rename") world.Run(Op.Rename("disk", "other"));
        else if (how == "delete") world.Run(Op.Delete("disk"));
        else world.OpenForWriting("disk");
        world.Verify();
        world.DeleteAll();
    }

    [Fact]
    public void What_another_host_has_taken_from_the_dead_is_not_open_here_when_that_one_closes_it()
    {
        using var rig = new Rig(mapperd: Quick);
        var world = new World(rig);
        world.Run(Op.Create("disk", 8 * O));
        world.OpenForWriting("disk");
        uint flow = world.Open["disk"];
        world.Run(Op.Write("disk", 0, Bytes.Of(1, 4 * O)));
        world.Flush();
        ulong id = IdOf(rig, "disk");
        // kill -9 of all that this host has; the lease runs out.
        Xseg.Tables.FlowUse.Leave(rig.Segment, flow, rig.Client.Context.Port.Number);
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", XsegOp.Release, $"l.{id:x16}", flags: RequestFlags.Force)).Status);
        LockElsewhere(rig, id);
        rig.Kill(mapperd: true, vlmcd: true);
        rig.VlmcdNode.Until(() => !Xseg.Tables.FlowUse.IsUsed(rig.Segment, flow), "what is left open is not closed");
        Assert.Equal("elsewhere", rig.MapperdNode.Run(() => rig.Mapperd.Volumes.LockOfAsync("disk", id)).State);
        UnlockElsewhere(rig, id);
        world.Open.Clear();
        world.Run(Op.Resize("disk", 9 * O));
        world.Run(Op.Snapshot("disk", "s"));
        world.Verify();
        world.DeleteAll();
    }

    [Fact]
    public void Who_has_lost_a_volume_is_not_said_to_have_it()
    {
        using var rig = new Rig(mapperd: Quick);
        var world = new World(rig);
        world.Run(Op.Create("disk", 8 * O));
        world.OpenForWriting("disk");
        ulong id = IdOf(rig, "disk");
        Assert.Equal("open", State());
        // Not noticed yet.
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", XsegOp.Release, $"l.{id:x16}", flags: RequestFlags.Force)).Status);
        Assert.Equal("lost", State());
        LockElsewhere(rig, id);
        Assert.Equal("lost", State());
        rig.MapperdNode.Run(async () =>
        {
            await rig.Mapperd.Volumes.RenewAsync();
            return true;
        });
        Assert.Equal("lost", State());
        Assert.Equal(Errno.ESTALE, rig.Do(XsegOp.Close, "disk").Status);
        Assert.Equal("elsewhere", State());

        UnlockElsewhere(rig, id);
        Assert.Equal("free", State());
        // Found by the close, and not before.
        world.Open.Clear();
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", 0, Bytes.Of(1, O)));
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", XsegOp.Release, $"l.{id:x16}", flags: RequestFlags.Force)).Status);
        Assert.Equal("lost", State());
        // All that was answered may have been stable before.
        Assert.Contains(rig.Do(XsegOp.Close, "disk").Status, new[] { 0, Errno.ESTALE });
        Assert.Equal("free", State());

        string State() => rig.MapperdNode.Run(() => rig.Mapperd.Volumes.LockOfAsync("disk", id)).State;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Who_frees_or_takes_a_name_of_a_volume_that_is_open_since_before_a_restart_leaves_its_lock(bool frees)
    {
        using var rig = new Rig(mapperd: Quick);
        var world = new World(rig);
        world.Run(Op.Create("disk", 4 * O));
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", 0, Bytes.Of(1, 4 * O)));
        ulong id = IdOf(rig, "disk");
        // What a rename leaves that was cut off after its first step.
        Set(rig, "n.ghost", NameRecord.ToSector(id, "ghost"));
        rig.KillMapperd();
        rig.UntilIdle();
        if (frees) Assert.True(Assert.Single(world.Check(objects: false, repair: true).Findings).Repaired);
        else world.Run(Op.Create("ghost", 4 * O));
        Assert.True(IsHeld(rig, id));
        world.Run(Op.Write("disk", O, Bytes.Of(4, O)));
        world.Verify();
        world.DeleteAll();
    }

    /// <summary>A volume that is open and that another host has taken, and let go of.</summary>
    private static (World World, uint Flow) Lost(Rig rig)
    {
        var world = new World(rig);
        world.Run(Op.Create("disk", 8 * O));
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", 0, Bytes.Of(1, 4 * O)));
        world.Flush();
        Lose(rig, IdOf(rig, "disk"));
        return (world, world.Open["disk"]);
    }

    private static void Lose(Rig rig, ulong id)
    {
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", XsegOp.Release, $"l.{id:x16}", flags: RequestFlags.Force)).Status);
        rig.MapperdNode.Run(async () =>
        {
            await rig.Mapperd.Volumes.RenewAsync();
            return true;
        });
    }

    private static bool IsHeld(Rig rig, ulong id) => Locks.LockRecord.Parse(Sector(rig, $"l.{id:x16}", 0), out _) is { Held: true };
}
