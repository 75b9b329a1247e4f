using Archipelago.Mapperd.Control;
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
            new ControlOptions { SocketPath = socket }, new ProcessStatus("test", "0", SystemClock.Instance), metrics, NullLoggerFactory.Instance, [rig.Vlmcd, rig.Mapperd]);
        using var client = new ControlClient(socket);

        var created = await CreateAsync(new VolumeCreate("disk", 1 << 20));
        Assert.Equal(("disk", 1ul << 20, Rig.ObjectSize), (created.Name, created.Size, created.ObjectSize));
        await Refused(Errno.EEXIST, "exists already", () => CreateAsync(new VolumeCreate("disk", 1 << 20)));
        await Refused(Errno.EINVAL, "expected 1 to 89", () => CreateAsync(new VolumeCreate("a b", 1 << 20)));
        await Refused(Errno.EINVAL, "expected 1 to 89", () => CreateAsync(new VolumeCreate(null, 1 << 20)));
        await Refused(Errno.EINVAL, "multiple of 512", () => CreateAsync(new VolumeCreate("x", 100)));
        await Refused(Errno.EINVAL, "object size 1000", () => CreateAsync(new VolumeCreate("x", 512, 1000)));
        await CreateAsync(new VolumeCreate("big", 1ul << 40, 4 << 20));

        uint flow = rig.Open("disk");
        Assert.Equal(2ul << 20, (await ChangeAsync("disk", new VolumeChange(Size: 2 << 20))).Size);
        Assert.Equal(0, rig.Write("disk", flow, 1 << 20, new byte[512]).Status);
        await ChangeAsync("disk", new VolumeChange(Snapshot: "s1"));
        await Refused(Errno.EBUSY, "is open", () => ChangeAsync("disk", new VolumeChange(Rollback: "s1")));
        await Refused(Errno.EBUSY, "is open", () => ChangeAsync("disk", new VolumeChange(Name: "other")));
        await Refused(Errno.EINVAL, "nothing to do", () => ChangeAsync("disk", new VolumeChange()));
        await CreateAsync(new VolumeCreate("clone", 0, From: "disk@s1"));
        var list = await client.GetAsync("/v1/volumes", MapperdJson.Default.VolumeList);
        Assert.Equal([("big", 1ul << 40), ("clone", 2ul << 20), ("disk", 2ul << 20)], list.Volumes.Select(volume => (volume.Name, volume.Size)));
        var info = await client.GetAsync("/v1/volumes/disk", MapperdJson.Default.VolumeInfo);
        Assert.Equal(["s1"], info.Snapshots!.Select(snapshot => snapshot.Name));
        Assert.Equal(["clone"], info.Snapshots![0].Clones);
        Assert.Equal("disk@s1", (await client.GetAsync("/v1/volumes/clone", MapperdJson.Default.VolumeInfo)).Base);
        Assert.Equal(["disk"], (await client.GetAsync("/v1/vlmcd", VlmcdJson.Default.VlmcdStatus)).Open.Select(open => open.Name));
        Assert.Equal(["disk"], (await client.GetAsync("/v1/mapperd", MapperdJson.Default.MapperdStatus)).Open);

        await Refused(Errno.EBUSY, "is open", () => DeleteAsync("disk"));
        rig.Do(XsegOp.Close, "disk");
        await Refused(Errno.EBUSY, "snapshots", () => DeleteAsync("disk"));
        await Refused(Errno.EBUSY, "1 clone (clone)", () => DeleteAsync("disk@s1"));
        await ChangeAsync("clone", new VolumeChange(Flatten: true));
        await ChangeAsync("clone", new VolumeChange(Name: "free"));
        await ChangeAsync("disk", new VolumeChange(Rollback: "s1"));
        await DeleteAsync("disk?snapshots=true");
        await Refused(Errno.ENOENT, "no volume disk", () => client.GetAsync("/v1/volumes/disk", MapperdJson.Default.VolumeInfo));
        Assert.Empty((await client.GetAsync("/v1/vlmcd", VlmcdJson.Default.VlmcdStatus)).Open);
        rig.UntilIdle();
        Assert.Equal("big\nfree\n", rig.List());

        Task<VolumeState> CreateAsync(VolumeCreate body) => client.PostAsync("/v1/volumes", body, VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeState);
        Task<VolumeState> ChangeAsync(string name, VolumeChange body) => client.PutAsync("/v1/volumes/" + name, body, VlmcdJson.Default.VolumeChange, VlmcdJson.Default.VolumeState);
        Task<Nothing> DeleteAsync(string name) => client.DeleteAsync("/v1/volumes/" + name, ControlJson.Default.Nothing);
    }

    private static async Task<ErrnoException> Refused<T>(int errno, string says, Func<Task<T>> call)
    {
        var refused = await Assert.ThrowsAsync<ErrnoException>(call);
        Assert.Equal(errno, refused.Errno);
        Assert.Contains(says, refused.Message);
        return refused;
    }
}
