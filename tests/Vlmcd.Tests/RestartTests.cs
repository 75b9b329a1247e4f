using Archipelago.Xseg;

namespace Archipelago.Vlmcd.Tests;

public class RestartTests
{
    /// <summary>Writers and readers of blocks of their own go on while vlmcd is killed again and again: a pause and no error.</summary>
    [Fact]
    public async Task Killing_vlmcd_under_load_is_a_pause_and_no_error()
    {
        const int Workers = 8, Block = 3 * Rig.ObjectSize / 2;
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", 4 << 20);
        rig.Store.Run(async () =>
        {
            await rig.Memd.ChangeAsync(rig.Memd.Options with { Jitter = TimeSpan.FromMicroseconds(500) });
            return true;
        });
        bool stop = false;
        int done = 0;
        var load = rig.ClientNode.Begin(async () =>
        {
            await Task.WhenAll(Enumerable.Range(0, Workers).Select(WorkAsync));
            return true;
        });
        for (int kill = 0; kill < 12; kill++)
        {
            int seen = Volatile.Read(ref done);
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref done) >= seen + 40 || load.IsCompleted, TimeSpan.FromSeconds(30)), "the load stands still");
            rig.KillVlmcd();
        }

        Volatile.Write(ref stop, true);
        Assert.True(await load.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Equal(1, rig.VlmcdNode.Run(() => Task.FromResult(rig.Vlmcd.Volumes.Table.All.Count(volume => volume.IsLoaded))));
        Assert.Equal(Runtime.Errno.EBUSY, rig.Do(XsegOp.Delete, "disk").Status);

        async Task WorkAsync(int worker)
        {
            ulong at = (ulong)(worker * (4 << 20) / Workers) + 512;
            for (int round = 0; !Volatile.Read(ref stop); round++)
            {
                var data = VolumeTests.Bytes(worker * 100_000 + round, Block);
                var written = await rig.Client.Write("volumes", "disk", flow, at, data, round % 3 == 0 ? RequestFlags.ForceUnitAccess : RequestFlags.None);
                Assert.Equal((0, (ulong)Block), VolumeTests.Outcome(written));
                var read = await rig.Client.Read("volumes", "disk", flow, at, Block, round % 2 == 0);
                Assert.Equal(0, read.Status);
                Assert.True(data.AsSpan().SequenceEqual(read.Data), $"worker {worker} round {round}: an acknowledged write is not there");
                Interlocked.Increment(ref done);
            }
        }
    }

    [Fact]
    public void A_gateway_that_had_opened_goes_on_with_its_flow_and_nobody_else_gets_in()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", 1 << 20);
        rig.CreateAndOpen("other", 1 << 20);
        rig.Write("disk", flow, 0, VolumeTests.Bytes(1, 4096));
        rig.KillVlmcd();
        Assert.Equal(VolumeTests.Bytes(1, 4096), rig.Read("disk", flow, 0, 4096).Data);
        rig.KillVlmcd();
        Assert.Equal(Runtime.Errno.EINVAL, rig.Read("other", flow, 0, 4096).Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, "disk", flow).Status);
        rig.KillVlmcd();
        Assert.Equal(0, rig.Do(XsegOp.Close, "disk").Status);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
        Assert.Equal("other\n", rig.List());
    }

    [Fact]
    public void What_was_open_for_those_who_died_with_vlmcd_is_closed_and_what_the_living_have_open_is_not()
    {
        using var rig = new Rig();
        rig.CreateAndOpen("idle", 1 << 20);
        var doomed = rig.NewNode();
        var client = doomed.Start(new Client(), "doomed", null, 100);
        Assert.Equal(0, doomed.Run(() => client.Do("volumes", XsegOp.Create, "disk", length: 1 << 20)).Status);
        uint flow = doomed.Run(() => client.Do("volumes", XsegOp.Open, "disk")).Flow;
        byte[] data = VolumeTests.Bytes(1, 4096);
        Assert.Equal(0, doomed.Run(() => client.Write("volumes", "disk", flow, 0, data)).Status);

        doomed.Kill();
        rig.KillVlmcd();
        rig.MapperdNode.Until(() => rig.Mapperd.Volumes.Table.Find("disk") is not { IsOpen: true }, "the volume is not closed");
        Assert.Equal(data, rig.Read("disk", rig.Open("disk"), 0, 4096).Data);
        Assert.True(rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.Volumes.Table.Find("idle")!.IsOpen)));
    }

    [Fact]
    public void Orderly_stop_and_start_keep_everything()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", 1 << 20);
        rig.Write("disk", flow, 0, VolumeTests.Bytes(1, 4096));
        rig.RestartVlmcd();
        Assert.Equal(VolumeTests.Bytes(1, 4096), rig.Read("disk", flow, 0, 4096).Data);
        Assert.Equal("disk\n", rig.List());
    }
}
