using System.Text.Json;

namespace Archipelago.Nbd.Tests;

public sealed class RealClientTests
{
    [Fact]
    public async Task NbdinfoSeesSizeFlagsBlockSizesAndContexts()
    {
        await using var server = await TestServer.StartAsync();
        using var info = JsonDocument.Parse(await Tool.Run("nbdinfo", "--json", server.Uri("vol")));
        var export = info.RootElement.GetProperty("exports")[0];
        Assert.Equal("newstyle-fixed", info.RootElement.GetProperty("protocol").GetString());
        Assert.True(info.RootElement.GetProperty("structured").GetBoolean());
        Assert.Equal("vol", export.GetProperty("export-name").GetString());
        Assert.Equal(64 << 20, export.GetProperty("export-size").GetInt64());
        Assert.Equal(512, export.GetProperty("block_size_minimum").GetInt32());
        Assert.Equal(4096, export.GetProperty("block_size_preferred").GetInt32());
        Assert.Equal(32 << 20, export.GetProperty("block_size_maximum").GetInt32());
        foreach (string flag in new[] { "can_cache", "can_df", "can_flush", "can_fua", "can_multi_conn", "can_trim", "can_zero" })
            Assert.True(export.GetProperty(flag).GetBoolean(), flag);
        foreach (string flag in new[] { "is_read_only", "is_rotational", "can_fast_zero" })
            Assert.False(export.GetProperty(flag).GetBoolean(), flag);
        Assert.Equal("base:allocation", export.GetProperty("contexts")[0].GetString());
    }

    [Fact]
    public async Task NbdinfoListsAllVolumes()
    {
        await using var server = await TestServer.StartAsync();
        for (int i = 0; i < 2000; i++) server.Volumes.Add($"a-volume-with-a-longer-name.{i}", 4096);
        string list = await Tool.Run("nbdinfo", "--list", "--json", "--no-content", $"nbd+unix:///?socket={server.SocketPath}");
        using var info = JsonDocument.Parse(list);
        Assert.Equal(2001, info.RootElement.GetProperty("exports").GetArrayLength());
    }

    [Fact]
    public async Task NbdcopyBringsRandomDataInAndOut()
    {
        await using var server = await TestServer.StartAsync();
        byte[] data = Pattern.Random(64 << 20, 1);
        data.AsSpan(10 << 20, 9 << 20).Clear();
        string source = Path.Combine(server.Directory, "in"), target = Path.Combine(server.Directory, "out");
        await File.WriteAllBytesAsync(source, data);
        await Tool.Run("nbdcopy", source, server.Uri("vol"));
        Assert.True(data.AsSpan().SequenceEqual(server.Volumes["vol"].Bytes));
        await Tool.Run("nbdcopy", server.Uri("vol"), target);
        byte[] copy = await File.ReadAllBytesAsync(target);
        Assert.True(data.AsSpan().SequenceEqual(copy));
    }

    [Fact]
    public async Task LargestRequestsOfNbdcopyAreSplitAndPutTogether()
    {
        await using var server = await TestServer.StartAsync();
        byte[] data = Pattern.Random(64 << 20, 2);
        string source = Path.Combine(server.Directory, "in"), target = Path.Combine(server.Directory, "out");
        await File.WriteAllBytesAsync(source, data);
        await Tool.Run("nbdcopy", "--request-size=33554432", "--requests=2", "--connections=1", source, server.Uri("vol"));
        Assert.True(data.AsSpan().SequenceEqual(server.Volumes["vol"].Bytes));
        await Tool.Run("nbdcopy", "--request-size=33554432", "--requests=2", "--connections=1", server.Uri("vol"), target);
        byte[] copy = await File.ReadAllBytesAsync(target);
        Assert.True(data.AsSpan().SequenceEqual(copy));
    }

    [Fact]
    public async Task QemuImgConvertsAndComparesBothWays()
    {
        await using var server = await TestServer.StartAsync();
        byte[] data = Pattern.Random(64 << 20, 3);
        data.AsSpan(1 << 20, 30 << 20).Clear();
        string source = Path.Combine(server.Directory, "in.raw"), target = Path.Combine(server.Directory, "out.qcow2");
        await File.WriteAllBytesAsync(source, data);
        await Tool.Run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, server.Uri("vol"));
        await Tool.Run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, server.Uri("vol"));
        await Tool.Run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", server.Uri("vol"), target);
        await Tool.Run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, target);
    }

    [Fact]
    public async Task QemuIoWritesStablyZeroesDiscardsAndFlushes()
    {
        await using var server = await TestServer.StartAsync();
        string output = await Tool.Run(
            "qemu-io", "-f", "raw", server.Uri("vol"),
            "-c", "write -f -P 0xab 4096 8192", "-c", "read -P 0xab 4096 8192", "-c", "write -z 8192 4096", "-c", "read -P 0 8192 4096",
            "-c", "write -P 0xcd 1536 512", "-c", "read -P 0xcd 1536 512", "-c", "discard 4096 4096", "-c", "flush");
        Assert.DoesNotContain("fail", output);
        Assert.Contains(server.Volumes.Log, seen => seen.Op == Xseg.XsegOp.Write && seen.Flags == Xseg.RequestFlags.ForceUnitAccess);
        Assert.Contains(server.Volumes.Log, seen => seen.Op == Xseg.XsegOp.Discard);
        Assert.Contains(server.Volumes.Log, seen => seen.Op == Xseg.XsegOp.Flush);
    }

    [Theory]
    [InlineData("4k-4k", 32)]
    [InlineData("512-64k", 16)]
    [InlineData("1m-1m", 4)]
    public async Task FioVerifiesWhatItWrote(string sizes, int depth)
    {
        await using var server = await TestServer.StartAsync();
        server.Volumes.Recording = false;
        await Tool.Run(
            "fio", "--name=v", "--ioengine=nbd", $"--uri={server.Uri("vol")}", "--rw=randwrite", $"--bsrange={sizes}", "--blockalign=512",
            $"--iodepth={depth}", "--size=64m", "--io_size=48m", "--verify=crc32c", "--verify_fatal=1", "--randseed=7", $"--aux-path={server.Directory}");
    }

    [Fact]
    public async Task FourFioJobsShareAVolume()
    {
        await using var server = await TestServer.StartAsync();
        server.Volumes.Recording = false;
        await Tool.Run(
            "fio", "--name=v", "--ioengine=nbd", $"--uri={server.Uri("vol")}", "--rw=randrw", "--bs=4k", "--iodepth=16", "--numjobs=4",
            "--offset_increment=16m", "--size=16m", "--verify=crc32c", "--verify_fatal=1", "--fsync=64", $"--aux-path={server.Directory}");
        await server.Until(() => server.Volumes["vol"].Closes == server.Volumes["vol"].Opens, "closed after the last connection");
    }
}
