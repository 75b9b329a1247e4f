using Archipelago.Cached;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>What a CLOSE promises, and what an open volume is kept from, whoever else is at the volume.</summary>
public class CloseTests
{
    private const int O = Rig.ObjectSize;

    public enum Other
    {
        /// <summary>Nobody else.</summary>
        None,
        /// <summary>An operator keeps the lock.</summary>
        Keeps,
        /// <summary>A snapshot of it is being removed.</summary>
        Removes,
    }

    [Theory]
    [InlineData(Other.None)]
    [InlineData(Other.Keeps)]
    [InlineData(Other.Removes)]
    public void A_close_is_answered_when_all_is_flushed_and_then_nobody_counts_as_having_it_open(Other other)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Busy(rig, other);
        uint flow = world.Open["disk"];
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Flush && request.Flow == flow);
        var close = rig.ClientNode.Begin(() => rig.Client.Do("volumes", XsegOp.Close, "disk"));
        rig.Store.Until(() => rig.Cut.Stopped > 0 || close.IsCompleted, "neither flushed nor answered");
        Assert.False(close.IsCompleted, "it is answered before it is flushed");
        Assert.Equal(other == Other.None ? 1 : 2, LockUsers(rig));
        Assert.True(IsMarkedOpen(rig, flow));
        Go(rig);
        Assert.Equal(0, rig.ClientNode.Run(() => close).Status);
        Assert.False(IsMarkedOpen(rig, flow));
        world.Open.Clear();
        // Nor does a successor think so.
        rig.KillMapperd();
        world.Run(Op.Rename("disk", "free"));
        Calm(rig);
        world.Verify();
        world.DeleteAll();
    }

    [Theory]
    [InlineData(Other.None)]
    [InlineData(Other.Keeps)]
    [InlineData(Other.Removes)]
    public void A_close_whose_flush_fails_fails_and_the_volume_is_open_as_before(Other other)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Busy(rig, other);
        uint flow = world.Open["disk"];
        rig.Change(rig.Memd.Options with { Rules = [Memd.MemdRule.Parse("flush:EIO")] });
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Close, "disk").Status);
        Assert.True(IsMarkedOpen(rig, flow));
        world.Run(Op.Write("disk", O, Bytes.Of(9, 2 * O)));
        Calm(rig);
        if (other == Other.Keeps) Unkeep(rig);
        world.Close("disk");
        Assert.False(IsMarkedOpen(rig, flow));
        rig.UntilIdle();
        Assert.Equal(0, LockUsers(rig));
        world.Verify();
        world.DeleteAll();
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public void A_volume_that_is_open_is_not_rolled_back_also_when_vlmcd_has_forgotten_it(bool mapperdToo, bool orderly)
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        world.OpenForWriting("base");
        world.Run(Op.Write("base", 0, Bytes.Of(9, O)));
        if (orderly) rig.RestartVlmcd();
        else rig.Kill(mapperd: mapperdToo, vlmcd: true);
        // Its gateway asks for nothing meanwhile.
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Rollback, "base", source: "s1").Status);
        world.Run(Op.Write("base", O, Bytes.Of(10, 2 * O)));
        world.Verify();
        world.Close("base");
        world.Run(Op.Rollback("base", "s1"));
        world.Verify();
        world.DeleteAll();
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void A_volume_whose_content_cannot_be_written_can_be_deleted(bool cached, bool vlmcdDies)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) }, cached: cached ? new CachedOptions { Pages = 1024 } : null);
        var world = new World(rig);
        world.Run(Op.Create("disk", 20 * O));
        world.OpenForWriting("disk");
        uint flow = world.Open["disk"];
        rig.Change(rig.Memd.Options with { Rules = [Memd.MemdRule.Parse("flush:ENOSPC")] });
        if (cached) Assert.Equal(0, rig.Write("disk", flow, 0, Bytes.Of(1, 8 * O)).Status);
        if (vlmcdDies) rig.KillVlmcd();
        // Its client is there, though it may be idle.
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Delete, "disk").Status);
        Assert.Equal(Errno.ENOSPC, rig.Do(XsegOp.Close, "disk").Status);
        if (vlmcdDies) rig.KillVlmcd();
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
        // Another volume of the name has nothing of it, and what is written of that one need only be possible.
        world.Open.Clear();
        uint again = rig.CreateAndOpen("disk", 20 * O);
        Assert.All(rig.Read("disk", again, 0, 8 * O).Data, value => Assert.Equal(0, value));
        Calm(rig);
        Assert.Equal(0, rig.Write("disk", again, 0, Bytes.Of(2, O)).Status);
        Assert.Equal(0, rig.Do(XsegOp.Close, "disk").Status);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
        rig.UntilIdle();
        Assert.Empty(rig.Objects());
        if (cached) Assert.Equal(0, rig.Cached!.Figures.DirtyBytes);
    }

    /// <summary>A volume that is open, with content that is not flushed.</summary>
    private static World Busy(Rig rig, Other other)
    {
        var world = new World(rig);
        world.Run(Op.Create("disk", 200 * O));
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", 0, Bytes.Of(1, 200 * O)));
        world.Run(Op.Snapshot("disk", "s1"));
        world.Run(Op.Write("disk", 0, Bytes.Of(2, 200 * O)));
        if (other == Other.Keeps)
        {
            rig.MapperdNode.Run(async () =>
            {
                await rig.Mapperd.Volumes.KeepAsync("disk");
                return true;
            });
        }
        else if (other == Other.Removes)
        {
            rig.Change(rig.Memd.Options with { Latency = TimeSpan.FromMilliseconds(5) });
            world.Run(Op.Delete("disk@s1"));
            rig.MapperdNode.Until(() => rig.Mapperd.Volumes.Table.Find("disk") is { IsPurging: true }, "no removal begins");
        }

        return world;
    }

    private static void Calm(Rig rig) => rig.Change(rig.Memd.Options with { Latency = TimeSpan.Zero, Rules = [] });

    private static void Go(Rig rig) => rig.OnStore(() =>
    {
        rig.Cut.Go();
        return true;
    });

    private static void Unkeep(Rig rig) => rig.MapperdNode.Run(async () =>
    {
        await rig.Mapperd.Volumes.UnkeepAsync("disk");
        return true;
    });

    private static int LockUsers(Rig rig) => rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.Volumes.Table.Find("disk")?.LockUsers ?? 0));

    private static unsafe bool IsMarkedOpen(Rig rig, uint flow) => rig.ClientNode.Segment.FlowAt(flow)->OpenBy != 0;
}
