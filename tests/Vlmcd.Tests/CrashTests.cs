using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Vlmcd.Tests;

/// <summary>
/// vlmcd stops after its k-th change of the store, for every k, with and without a failure of the store's power; a successor starts.
/// Either the change fails and vlmcd dies (fail), or it dies with the change under way and the successor replays the request (hang).
/// </summary>
public class CrashTests
{
    private const ulong Size = 20 * Rig.ObjectSize - 512;

    public enum Cut
    {
        Fails,
        Hangs,
        HangsAndLosesPower,
    }

    [Theory]
    [InlineData(Cut.Fails)]
    [InlineData(Cut.Hangs)]
    [InlineData(Cut.HangsAndLosesPower)]
    public void Create_is_done_or_not_done(Cut cut)
    {
        bool all = false;
        for (int k = 0; !all; k++)
        {
            using var rig = new Rig(isVolatile: true);
            Assert.Equal(0, rig.Do(XsegOp.Create, "before", length: Size).Status);
            int status = Crash(rig, k, cut, XsegOp.Create, "disk", Size, out all);
            string list = rig.List();
            bool exists = rig.Do(XsegOp.Info, "disk").Status == 0;
            if (status == 0) Assert.True(exists, $"k = {k}: a volume whose creation was answered is missing");
            if (cut != Cut.Fails) Assert.Equal(0, status);
            Assert.True(list == (exists ? "before\ndisk\n" : "before\n"), $"k = {k}: listed {list}, exists {exists}");
            Assert.Equal(exists ? Errno.EEXIST : 0, rig.Do(XsegOp.Create, "disk", length: Size).Status);
            Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
            rig.UntilIdle();
            Assert.Equal(["v.before"], rig.Objects());
        }
    }

    [Theory]
    [InlineData(Cut.Fails)]
    [InlineData(Cut.Hangs)]
    [InlineData(Cut.HangsAndLosesPower)]
    public void Delete_is_done_or_not_done_and_leaves_nothing(Cut cut)
    {
        bool all = false;
        for (int k = 0; !all; k++)
        {
            using var rig = new Rig(isVolatile: true);
            var data = VolumeTests.Bytes(1, (int)Size);
            uint flow = rig.CreateAndOpen("disk", Size);
            Assert.Equal(0, rig.Write("disk", flow, 0, data).Status);
            Assert.Equal(0, rig.Do(XsegOp.Close, "disk").Status);
            int status = Crash(rig, k, cut, XsegOp.Delete, "disk", 0, out all);
            bool exists = rig.Do(XsegOp.Info, "disk").Status == 0;
            if (status == 0) Assert.False(exists, $"k = {k}: a volume whose deletion was answered is there");
            if (cut != Cut.Fails) Assert.Equal(0, status);
            Assert.Equal(exists ? "disk\n" : "", rig.List());
            if (exists)
            {
                flow = rig.Open("disk");
                Assert.Equal(data, rig.Read("disk", flow, 0, Size).Data);
                rig.Do(XsegOp.Close, "disk");
                Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
            }

            flow = rig.CreateAndOpen("disk", Size);
            Assert.DoesNotContain(rig.Read("disk", flow, 0, Size).Data, value => value != 0);
            rig.UntilIdle();
            Assert.Equal(["v.disk"], rig.Objects());
        }
    }

    [Theory]
    [InlineData(Cut.Fails)]
    [InlineData(Cut.Hangs)]
    [InlineData(Cut.HangsAndLosesPower)]
    public void Shrink_is_done_or_not_done_and_what_it_cut_off_never_shows_again(Cut cut)
    {
        const ulong Small = 5 * Rig.ObjectSize + 1536;
        bool all = false;
        for (int k = 0; !all; k++)
        {
            using var rig = new Rig(isVolatile: true);
            var data = VolumeTests.Bytes(1, (int)Size);
            uint flow = rig.CreateAndOpen("disk", Size);
            Assert.Equal(0, rig.Write("disk", flow, 0, data).Status);
            Assert.Equal(0, rig.Do(XsegOp.Flush, "disk", flow).Status);
            int status = Crash(rig, k, cut, XsegOp.Truncate, "disk", Small, out all);
            ulong size = rig.Do(XsegOp.Info, "disk").Serviced;
            Assert.True(size is Small or Size, $"k = {k}: size {size}");
            if (status == 0 || cut != Cut.Fails) Assert.Equal((0, Small), (status, size));
            if (size == Small) Array.Clear(data, (int)Small, (int)(Size - Small));
            Assert.Equal(0, rig.Do(XsegOp.Truncate, "disk", length: Size).Status);
            Assert.True(data.AsSpan().SequenceEqual(rig.Read("disk", flow, 0, Size).Data), $"k = {k}: size was {size}, and what was cut off shows, or what was not is gone");
            Assert.Equal(0, rig.Write("disk", flow, Small, VolumeTests.Bytes(2, (int)(Size - Small))).Status);
            rig.UntilIdle();
            Assert.Equal(VolumeTests.Bytes(2, (int)(Size - Small)), rig.Read("disk", flow, Small, Size - Small).Data);
        }
    }

    [Theory]
    [InlineData(Cut.Fails)]
    [InlineData(Cut.Hangs)]
    [InlineData(Cut.HangsAndLosesPower)]
    public void Grow_is_done_or_not_done(Cut cut)
    {
        bool all = false;
        for (int k = 0; !all; k++)
        {
            using var rig = new Rig(isVolatile: true);
            uint flow = rig.CreateAndOpen("disk", Size);
            Assert.Equal(0, rig.Write("disk", flow, 0, VolumeTests.Bytes(1, (int)Size), RequestFlags.ForceUnitAccess).Status);
            int status = Crash(rig, k, cut, XsegOp.Truncate, "disk", 2 * Size, out all);
            ulong size = rig.Do(XsegOp.Info, "disk").Serviced;
            Assert.True(size is Size or 2 * Size, $"k = {k}: size {size}");
            if (status == 0 || cut != Cut.Fails) Assert.Equal((0, 2 * Size), (status, size));
            Assert.Equal(VolumeTests.Bytes(1, (int)Size), rig.Read("disk", flow, 0, Size).Data);
            if (size == 2 * Size) Assert.DoesNotContain(rig.Read("disk", flow, Size, Size).Data, value => value != 0);
        }
    }

    [Fact]
    public void The_clean_up_of_a_deleted_volume_spares_a_new_one_of_its_name()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", Size);
        Assert.Equal(0, rig.Write("disk", flow, 0, VolumeTests.Bytes(1, (int)Size)).Status);
        rig.Do(XsegOp.Close, "disk");
        // Record and header go through, the objects' deletion fails, to be tried again.
        Assert.Equal(0, Crash(rig, 2, Cut.Fails, XsegOp.Delete, "disk", 0, out _, restart: false));
        rig.Store.Run(() =>
        {
            rig.Cut.Mend();
            return Task.FromResult(true);
        });
        flow = rig.CreateAndOpen("disk", Size);
        Assert.Equal(0, rig.Write("disk", flow, 0, VolumeTests.Bytes(2, (int)Size)).Status);
        rig.Do(XsegOp.Close, "disk");
        rig.KillVlmcd();
        rig.UntilIdle();
        flow = rig.Open("disk");
        Assert.Equal(VolumeTests.Bytes(2, (int)Size), rig.Read("disk", flow, 0, Size).Data);
        Assert.Equal(21, rig.Objects().Count);
    }

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
        Assert.Equal(0, rig.VlmcdNode.Run(() => Task.FromResult(rig.Vlmcd.Volumes.InFlight)));
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
        rig.KillVlmcd(powerFailure: true);
        var read = rig.Read("disk", flow, 0, 4 * Rig.ObjectSize).Data;
        Assert.DoesNotContain(read[..Rig.ObjectSize], value => value != 0);
        Assert.Equal(data[Rig.ObjectSize..], read[Rig.ObjectSize..]);
        Assert.Equal(data, rig.Read("disk", flow, 8 * Rig.ObjectSize, (ulong)data.Length).Data);
        Assert.DoesNotContain(rig.Read("disk", flow, 13 * Rig.ObjectSize, (ulong)data.Length).Data, value => value != 0);
    }

    /// <summary>Runs an op with the store cut off after k changes, kills vlmcd and starts a successor; the op's status in the end.</summary>
    private static int Crash(Rig rig, int k, Cut cut, XsegOp op, string name, ulong length, out bool all, bool restart = true)
    {
        rig.Store.Run(() =>
        {
            rig.Cut.CutAfter(k, hold: cut != Cut.Fails);
            return Task.FromResult(true);
        });
        var answer = rig.ClientNode.Begin(() => rig.Client.Do("volumes", op, name, length: length));
        if (cut == Cut.Fails)
        {
            Assert.True(answer.Wait(TimeSpan.FromSeconds(30)));
            // What goes on in the background comes to its end, or to the cut.
            rig.VlmcdNode.Until(() => rig.Vlmcd.Volumes.InFlight == 0, "background work does not end");
        }
        else
        {
            rig.Store.Until(() => rig.Cut.Held > 0 || (answer.IsCompleted && Idle(rig)), "neither cut off nor done");
        }

        all = rig.Store.Run(() => Task.FromResult(!rig.Cut.IsCut));
        if (!restart) return answer.GetAwaiter().GetResult().Status;
        rig.KillVlmcd(cut == Cut.HangsAndLosesPower);
        Assert.True(answer.Wait(TimeSpan.FromSeconds(30)), "the request is lost");
        rig.UntilIdle();
        return answer.Result.Status;
    }

    private static bool Idle(Rig rig) => rig.Vlmcd.Volumes.Purges == 0 && rig.Vlmcd.Volumes.InFlight == 0;
}
