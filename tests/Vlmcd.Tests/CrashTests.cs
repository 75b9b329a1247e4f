using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Vlmcd.Tests;

/// <summary>Order of I/O and changes of the volume, and power failures. Changes that are cut off: see Mapperd.Tests.</summary>
public class CrashTests
{
    private const ulong Size = 20 * Rig.ObjectSize - 512;

    [Fact]
    public async Task A_shrink_waits_for_the_requests_under_way_and_those_behind_it_see_the_new_size()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", Size);
        Hang(rig, true);
        var before = rig.ClientNode.Begin(() => rig.Client.Write("volumes", "disk", flow, 0, VolumeTests.Bytes(1, (int)Size)));
        rig.VlmcdNode.Until(() => rig.Vlmcd.Volumes.Table.ByFlow(flow)!.InFlight == 1, "the write does not arrive");
        var shrink = rig.ClientNode.Begin(() => rig.Client.Do("volumes", XsegOp.Truncate, "disk", length: Rig.ObjectSize));
        rig.VlmcdNode.Until(() => !rig.Vlmcd.Volumes.Table.ByFlow(flow)!.IsReady, "the shrink does not hold the volume");
        var behind = rig.ClientNode.Begin(() => rig.Client.Write("volumes", "disk", flow, Rig.ObjectSize, new byte[512]));
        Assert.False(shrink.IsCompleted);
        Hang(rig, false);
        var answers = await Task.WhenAll(before, shrink, behind).WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal([0, 0, Errno.ENOSPC], answers.Select(answer => answer.Status));
        Assert.Equal(0, rig.Do(XsegOp.Truncate, "disk", length: Size).Status);
        var read = rig.Read("disk", flow, 0, Size).Data;
        Assert.Equal(VolumeTests.Bytes(1, (int)Size)[..Rig.ObjectSize], read[..Rig.ObjectSize]);
        Assert.DoesNotContain(read[Rig.ObjectSize..], value => value != 0);

        static void Hang(Rig rig, bool hang) => rig.Store.Run(async () =>
        {
            await rig.Memd.ChangeAsync(rig.Memd.Options with { Hang = hang });
            return true;
        });
    }

    [Fact]
    public void What_is_acknowledged_with_FUA_or_flushed_survives_a_power_failure()
    {
        using var rig = new Rig(isVolatile: true);
        uint flow = rig.CreateAndOpen("disk", Size);
        var data = VolumeTests.Bytes(1, 4 * Rig.ObjectSize);
        Assert.Equal(0, rig.Write("disk", flow, 0, data, RequestFlags.ForceUnitAccess).Status);
        Assert.Equal(0, rig.Write("disk", flow, 8 * Rig.ObjectSize, data).Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, "disk", flow).Status);
        Assert.Equal(0, rig.Do(XsegOp.Discard, "disk", flow, 0, Rig.ObjectSize, RequestFlags.ForceUnitAccess).Status);
        Assert.Equal(0, rig.Do(XsegOp.Discard, "disk", flow, 8 * Rig.ObjectSize, Rig.ObjectSize).Status);
        Assert.Equal(0, rig.Write("disk", flow, 13 * Rig.ObjectSize, data).Status);
        rig.Kill(mapperd: true, vlmcd: true, powerFailure: true);
        var read = rig.Read("disk", flow, 0, 4 * Rig.ObjectSize).Data;
        Assert.DoesNotContain(read[..Rig.ObjectSize], value => value != 0);
        Assert.Equal(data[Rig.ObjectSize..], read[Rig.ObjectSize..]);
        Assert.Equal(data, rig.Read("disk", flow, 8 * Rig.ObjectSize, (ulong)data.Length).Data);
        Assert.DoesNotContain(rig.Read("disk", flow, 13 * Rig.ObjectSize, (ulong)data.Length).Data, value => value != 0);
    }
}
