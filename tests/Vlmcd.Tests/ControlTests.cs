using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Hosting;
using Archipelago.Runtime.Metrics;
using Archipelago.Vlmcd.Control;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Vlmcd.Tests;

public class ControlTests
{
    [Fact]
    public async Task Volumes_are_managed_over_the_control_socket()
    {
        using var rig = new Rig();
        string socket = Path.Combine(Path.GetTempPath(), "vlmcd-" + Guid.NewGuid().ToString("N")[..8]);
        using var metrics = new MetricsRegistry(ownOnly: true);
        await using var server = await ControlServer.StartAsync(
            new ControlOptions { SocketPath = socket }, new ProcessStatus("test", "0", SystemClock.Instance), metrics, NullLoggerFactory.Instance, [rig.Vlmcd]);
        using var client = new ControlClient(socket);

        var created = await client.PostAsync("/v1/volumes", new VolumeCreate("disk", 1 << 20), VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeInfo);
        Assert.Equal(("disk", 1ul << 20, Rig.ObjectSize, "ok"), (created.Name, created.Size, created.ObjectSize, created.State));
        await Refused(Errno.EEXIST, () => client.PostAsync("/v1/volumes", new VolumeCreate("disk", 1 << 20), VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeInfo));
        await Refused(Errno.EINVAL, () => client.PostAsync("/v1/volumes", new VolumeCreate("a b", 1 << 20), VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeInfo));
        await Refused(Errno.EINVAL, () => client.PostAsync("/v1/volumes", new VolumeCreate(null, 1 << 20), VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeInfo));
        await Refused(Errno.EINVAL, () => client.PostAsync("/v1/volumes", new VolumeCreate("x", 100), VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeInfo));
        await Refused(Errno.EINVAL, () => client.PostAsync("/v1/volumes", new VolumeCreate("x", 512, 1000), VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeInfo));
        await client.PostAsync("/v1/volumes", new VolumeCreate("big", 1ul << 40, 4 << 20), VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeInfo);

        uint flow = rig.Open("disk");
        var resized = await client.PutAsync("/v1/volumes/disk", new VolumeResize(2 << 20), VlmcdJson.Default.VolumeResize, VlmcdJson.Default.VolumeInfo);
        Assert.Equal((2ul << 20, 1), (resized.Size, resized.Openers));
        Assert.Equal(0, rig.Write("disk", flow, 1 << 20, new byte[512]).Status);
        var list = await client.GetAsync("/v1/volumes", VlmcdJson.Default.VolumeList);
        Assert.Equal([("big", 1ul << 40), ("disk", 2ul << 20)], list.Volumes.Select(volume => (volume.Name, volume.Size)));
        Assert.Equal(1ul << 40, (await client.GetAsync("/v1/volumes/big", VlmcdJson.Default.VolumeInfo)).Size);

        await Refused(Errno.EBUSY, () => client.DeleteAsync("/v1/volumes/disk", ControlJson.Default.Nothing));
        rig.Do(XsegOp.Close, "disk");
        await client.DeleteAsync("/v1/volumes/disk", ControlJson.Default.Nothing);
        var error = await Refused(Errno.ENOENT, () => client.GetAsync("/v1/volumes/disk", VlmcdJson.Default.VolumeInfo));
        Assert.Contains("no volume disk", error.Message);
        Assert.Equal(1, (await client.GetAsync("/v1/vlmcd", VlmcdJson.Default.VlmcdStatus)).Volumes);
    }

    private static async Task<ErrnoException> Refused<T>(int errno, Func<Task<T>> call)
    {
        var refused = await Assert.ThrowsAsync<ErrnoException>(call);
        Assert.Equal(errno, refused.Errno);
        return refused;
    }
}
