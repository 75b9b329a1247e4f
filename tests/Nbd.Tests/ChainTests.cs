using Archipelago.Memd;
using Archipelago.Runtime;

namespace Archipelago.Nbd.Tests;

/// <summary>The gateway over the real vlmcd and memd.</summary>
public sealed class ChainTests
{
    private const int MiB = 1 << 20;

    [Fact]
    public async Task FioVerifiesThroughTheChain()
    {
        await using var server = await TestServer.StartChainAsync(new MemdPeer(new MemdOptions()));
        await Tool.Run(
            "fio", "--name=v", "--ioengine=nbd", $"--uri={server.Uri("vol")}", "--rw=randrw", "--bsrange=512-256k", "--blockalign=512",
            "--iodepth=16", "--numjobs=2", "--offset_increment=8m", "--size=8m", "--verify=crc32c", "--verify_fatal=1", "--fsync=32", $"--aux-path={server.Directory}");
    }

    [Fact]
    public async Task SparseImagesSurviveTheRoundTrip()
    {
        await using var server = await TestServer.StartChainAsync(new MemdPeer(new MemdOptions()));
        byte[] data = Pattern.Random(64 * MiB, 3);
        data.AsSpan(5 * MiB, 40 * MiB).Clear();
        string source = Path.Combine(server.Directory, "in.raw"), target = Path.Combine(server.Directory, "out");
        await File.WriteAllBytesAsync(source, data);
        await Tool.Run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, server.Uri("vol"));
        await Tool.Run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, server.Uri("vol"));
        await Tool.Run("nbdcopy", server.Uri("vol"), target);
        byte[] copy = await File.ReadAllBytesAsync(target);
        Assert.True(data.AsSpan().SequenceEqual(copy));
        Assert.Contains("hole,zero", await Tool.Run("nbdinfo", "--map", server.Uri("vol")));
    }

    [Theory]
    [InlineData(Errno.EIO, Errno.EIO)]
    [InlineData(Errno.ENOSPC, Errno.ENOSPC)]
    public async Task FaultsOfTheStoreReachTheClientAndWhatWasAcknowledgedStays(int errno, int error)
    {
        var memd = new MemdPeer(new MemdOptions());
        await using var server = await TestServer.StartChainAsync(memd);
        using var client = RawClient.Open(server, structured: true);
        byte[] data = Pattern.Random(6 * MiB, 4);
        Assert.Equal(0u, client.Call(RawClient.Write, MiB, 6 * MiB, payload: data).Error);
        await server.OnReactor(() =>
        {
            memd.Change(memd.Options with { Rules = [MemdRule.Parse($"write:{Errno.Name(errno)}")] });
            return true;
        });
        Assert.Equal((uint)error, client.Call(RawClient.Write, MiB, 6 * MiB, payload: new byte[6 * MiB]).Error);
        var (readError, read) = client.Call(RawClient.Read, MiB, 6 * MiB);
        Assert.Equal(0u, readError);
        Assert.True(data.AsSpan().SequenceEqual(read));
    }

    [Fact]
    public async Task AStoreThatHangsGivesAnErrorAfterTheDeadlineAndServesLater()
    {
        var memd = new MemdPeer(new MemdOptions());
        await using var server = await TestServer.StartChainAsync(memd, options => options with { RequestDeadline = TimeSpan.FromMilliseconds(200) });
        using var client = RawClient.Open(server, structured: true);
        await Hang(true);
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Read, 0, 4096).Error);
        await Hang(false);
        await server.Until(() => server.Peer.Statistics!.InFlight == 0, "the read has ended");
        Assert.Equal(0u, client.Call(RawClient.Read, 0, 4096).Error);

        Task Hang(bool hang) => server.OnReactor(() =>
        {
            memd.Change(memd.Options with { Hang = hang });
            return true;
        });
    }
}
