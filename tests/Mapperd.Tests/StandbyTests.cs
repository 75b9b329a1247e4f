using Archipelago.Runtime;
using Archipelago.Xseg;
using static Archipelago.Mapperd.Tests.Damages;

namespace Archipelago.Mapperd.Tests;

/// <summary>A volume that stands by for the host that has it, as before a live migration.</summary>
public class StandbyTests
{
    private const int O = Rig.ObjectSize;

    [Theory]
    [InlineData(XsegOp.Snapshot)]
    [InlineData(XsegOp.Truncate)]
    [InlineData(XsegOp.Rollback)]
    [InlineData(XsegOp.Delete)]
    public void A_change_that_is_refused_leaves_it_standing_by(XsegOp change)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });
        var world = Shared(rig, 4);
        world.Close("disk");
        ulong id = IdOf(rig, "disk");
        LockElsewhere(rig, id);
        uint flow = rig.Open("disk", RequestFlags.NoSync);
        Assert.Equal(Errno.EBUSY, rig.Do(change, "disk", length: O, source: change == XsegOp.Delete ? null : "s1", flags: change == XsegOp.Delete ? RequestFlags.Force : RequestFlags.None).Status);
        var volume = rig.VlmcdNode.Run(() => Task.FromResult(rig.Vlmcd.Volumes.Table.ByFlow(flow)));
        Assert.True(volume is { IsLoaded: true, IsStandby: true });
        Assert.Equal(0, rig.Do(XsegOp.Open, "disk").Status);
        // The other host lets go: the first write takes it over.
        UnlockElsewhere(rig, id);
        Assert.Equal(0, rig.Write("disk", flow, 0, Bytes.Of(7, O)).Status);
        for (int i = 0; i < 2; i++) Assert.Equal(0, rig.Do(XsegOp.Close, "disk", flow).Status);
    }

    [Fact]
    public void An_operator_does_not_open_for_writing_what_stands_by()
    {
        using var rig = new Rig();
        var world = Shared(rig, 4);
        world.Close("disk");
        ulong id = IdOf(rig, "disk");
        LockElsewhere(rig, id);
        rig.Open("disk", RequestFlags.NoSync);
        int port = rig.Vlmcd.Context.Port.Number;
        var name = new Archipelago.Maps.VolumeName("disk", null);
        var refused = Refusal(() => rig.VlmcdNode.Run(() => rig.Vlmcd.Volumes.OpenAsync(name, readOnly: false, standby: false, port)));
        Assert.Equal(Errno.EBUSY, refused.Errno);
        Assert.Contains("stands by", refused.Message);
    }
}
