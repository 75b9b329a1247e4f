using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Vlmcd.Tests;

/// <summary>What is missing is a hole only while the map still names it. What other hosts do is done here by asking mapperd behind vlmcd's back.</summary>
public class HoleTests
{
    private const ulong O = Rig.ObjectSize;

    [Fact]
    public void A_snapshot_that_another_host_deletes_reads_as_an_error_and_never_as_zeros()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", 8 * O);
        byte[] data = VolumeTests.Bytes(1, Rig.ObjectSize);
        foreach (ulong index in new ulong[] { 0, 2, 5 }) Assert.Equal(0, rig.Write("disk", flow, index * O, data).Status);
        Assert.Equal(0, rig.Do(XsegOp.Snapshot, "disk", source: "s").Status);
        uint reader = rig.Open("disk@s");
        Assert.Equal(data, rig.Read("disk@s", reader, 0, O).Data);
        Assert.Equal(new byte[O], rig.Read("disk@s", reader, O, O).Data);
        // The snapshot's objects are its alone.
        foreach (ulong index in new ulong[] { 0, 2, 5 }) Assert.Equal(0, rig.Write("disk", flow, index * O, VolumeTests.Bytes(2, Rig.ObjectSize)).Status);

        Assert.Equal(0, ElsewhereAsked(rig, XsegOp.Delete, "disk@s").Status);
        rig.UntilIdle();
        Assert.Equal(Errno.ESTALE, rig.Read("disk@s", reader, 2 * O + 4096, 4096).Status);
        Assert.Equal(Errno.ESTALE, rig.Read("disk@s", reader, 2 * O + 4096, 4096, ownPages: true).Status);
        Assert.Equal(Errno.ESTALE, rig.Read("disk@s", reader, 3 * O, 3 * O).Status);
        // The flow has gone, too: this host's own mapperd has removed the snapshot.
        Assert.NotEqual(0, rig.Do(XsegOp.MapRead, "disk@s", reader, 0, 8 * O).Status);
    }

    [Fact]
    public void A_hole_of_a_snapshot_is_asked_about_once()
    {
        using var rig = new Rig();
        rig.CreateAndOpen("disk", 8 * O);
        Assert.Equal(0, rig.Do(XsegOp.Snapshot, "disk", source: "s").Status);
        uint reader = rig.Open("disk@s");
        Assert.Equal(new byte[O], rig.Read("disk@s", reader, 0, O).Data);
        rig.MapperdNode.StopReactor();
        Assert.Equal(new byte[4096], rig.Read("disk@s", reader, 8192, 4096).Data);
    }

    [Fact]
    public void A_part_that_another_host_has_moved_is_found_where_it_is_now()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", 8 * O);
        byte[] data = VolumeTests.Bytes(1, Rig.ObjectSize);
        for (ulong index = 0; index < 4; index++) Assert.Equal(0, rig.Write("disk", flow, index * O, data).Status);
        Assert.Equal(0, rig.Do(XsegOp.Snapshot, "disk", source: "s").Status);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk@s").Status);
        rig.UntilIdle();
        Assert.Equal(0, rig.Do(XsegOp.Close, "disk", flow).Status);
        uint view = rig.Open("disk", RequestFlags.ReadOnly);
        Assert.Equal(data, rig.Read("disk", view, 0, O).Data);

        var elsewhere = ElsewhereAsked(rig, XsegOp.Open, "disk");
        for (ulong index = 0; index < 4; index++) Assert.Equal(0, ElsewhereAsked(rig, XsegOp.MapWrite, "disk", elsewhere.Flow, index * 8, 8).Status);
        rig.UntilIdle();
        for (ulong index = 0; index < 4; index++) Assert.Equal(data, rig.Read("disk", view, index * O, O).Data);
        Assert.Equal(0, rig.Do(XsegOp.MapRead, "disk", view, 0, 8 * O).Status);
        Assert.Equal(new byte[O], rig.Read("disk", view, 6 * O, O).Data);
    }

    private static Answer ElsewhereAsked(Rig rig, XsegOp op, string name, uint flow = 0, ulong offset = 0, ulong length = 0) =>
        rig.ClientNode.Run(() => rig.Client.Do("maps", op, name, flow, offset, length));
}
