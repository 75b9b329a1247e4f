using System.Buffers.Binary;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Nbd.Tests;

public sealed class TransmissionTests
{
    private const int MiB = 1 << 20;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task WhatWasWrittenIsRead(bool structured)
    {
        await using var server = await TestServer.StartAsync();
        using var client = RawClient.Open(server, structured: structured);
        var random = new Random(5);
        byte[] model = new byte[16 * MiB];
        foreach (int length in new[] { 512, 4096, 1024, 65536, 98304, 131072, MiB, MiB + 512, 4 * MiB, 7 * MiB + 1536, 12 * MiB })
            for (int i = 0; i < 3; i++)
            {
                int offset = random.Next((model.Length - length) / 512 + 1) * 512;
                byte[] data = Pattern.Random(length, offset ^ length);
                data.CopyTo(model, offset);
                Assert.Equal(0u, client.Call(RawClient.Write, (ulong)offset, (uint)length, payload: data).Error);
                int from = random.Next((model.Length - length) / 512 + 1) * 512;
                var (error, read) = client.Call(RawClient.Read, (ulong)from, (uint)length);
                Assert.Equal(0u, error);
                Assert.True(model.AsSpan(from, length).SequenceEqual(read), $"{length} bytes at {from}");
            }
    }

    [Fact]
    public async Task ManyRequestsInOneSegmentAreAllServed()
    {
        await using var server = await TestServer.StartAsync();
        using var client = RawClient.Open(server);
        byte[] model = new byte[MiB];
        var batch = new List<byte>();
        var random = new Random(6);
        var reads = new Dictionary<ulong, byte[]>();
        for (ulong cookie = 0; cookie < 1500; cookie++)
        {
            int offset = random.Next(200) * 512, length = (1 + random.Next(30)) * 512;
            if (random.Next(3) == 0)
            {
                byte[] data = Pattern.Random(length, (int)cookie);
                data.CopyTo(model, offset);
                batch.AddRange(RawClient.Request(RawClient.Write, (ulong)offset, (uint)length, cookie: cookie));
                batch.AddRange(data);
            }
            else
            {
                reads[cookie] = model.AsSpan(offset, length).ToArray();
                batch.AddRange(RawClient.Request(RawClient.Read, (ulong)offset, (uint)length, cookie: cookie));
            }
        }

        // The volumes answer at once, so that everything is done in the order in which it came.
        var sending = Task.Run(() => client.Send([.. batch]));
        for (ulong cookie = 0; cookie < 1500; cookie++)
        {
            var reply = client.Next();
            Assert.Equal((0u, cookie), (reply.Error, reply.Cookie));
            if (reads.TryGetValue(cookie, out var expected)) Assert.True(client.Receive(expected.Length).AsSpan().SequenceEqual(expected), $"read {cookie}");
        }

        await sending;
        Assert.True(model.AsSpan().SequenceEqual(server.Volumes["vol"].Bytes.AsSpan(0, MiB)));
    }

    [Fact]
    public async Task PayloadThatComesInBitsIsPutTogether()
    {
        await using var server = await TestServer.StartAsync();
        using var client = RawClient.Open(server);
        byte[] data = Pattern.Random(20480, 8);
        byte[] bytes = [.. RawClient.Request(RawClient.Write, 1536, 20480), .. data, .. RawClient.Request(RawClient.Read, 1536, 20480)];
        for (int at = 0, step = 1; at < bytes.Length; at += step, step = step * 7 % 1021 + 1)
        {
            client.Send(bytes[at..Math.Min(bytes.Length, at + step)]);
            if (at % 5 == 0) await Task.Yield();
        }

        Assert.Equal(0u, client.Next().Error);
        Assert.Equal(data, client.Next(20480).Data);
    }

    [Fact]
    public async Task RequestsBecomeWhatTheVolumesUnderstand()
    {
        await using var server = await TestServer.StartAsync();
        using var client = RawClient.Open(server);
        server.Volumes.Log.Clear();
        Assert.Equal(0u, client.Call(RawClient.Write, 512, 512, 1, new byte[512]).Error);
        Assert.Equal(0u, client.Call(RawClient.Trim, 4096, 8192, 1).Error);
        Assert.Equal(0u, client.Call(RawClient.WriteZeroes, 0, 4096, 3).Error);
        Assert.Equal(0u, client.Call(RawClient.Flush, 0, 0).Error);
        Assert.Equal(0u, client.Call(RawClient.Flush, 0, 0, 1).Error);
        Assert.Equal(0u, client.Call(RawClient.Cache, 0, 65536).Error);
        Assert.Equal(0u, client.Call(RawClient.Read, 4096, 0).Error);
        Assert.Equal(0u, client.Call(RawClient.Write, 4096, 0).Error);
        uint flow = server.Volumes["vol"].Flow;
        Assert.Equal(
        [
            new(XsegOp.Write, "vol", 512, 512, RequestFlags.ForceUnitAccess, flow),
            new(XsegOp.Discard, "vol", 4096, 8192, RequestFlags.ForceUnitAccess, flow),
            new(XsegOp.WriteZeroes, "vol", 0, 4096, RequestFlags.ForceUnitAccess, flow),
            new(XsegOp.Flush, "vol", 0, 0, RequestFlags.None, flow),
            new(XsegOp.Flush, "vol", 0, 0, RequestFlags.None, flow),
        ], server.Volumes.Log);
    }

    [Fact]
    public async Task LargeRequestsComeInPieces()
    {
        await using var server = await TestServer.StartAsync();
        server.Volumes["vol"].Size = 1ul << 40;
        using var client = RawClient.Open(server);
        server.Volumes.Log.Clear();
        Assert.Equal(0u, client.Call(RawClient.Trim, 512, 0xFFFF_FE00).Error);
        Assert.Equal(0u, client.Call(RawClient.Write, 2 * MiB - 512, 2 * MiB, 0, new byte[2 * MiB]).Error);
        Assert.Equal(
            [(512ul, (1ul << 30) - 512), (1ul << 30, 1ul << 30), (2ul << 30, 1ul << 30), (3ul << 30, 1ul << 30), (2 * MiB - 512, 512), (2 * MiB, MiB), (3 * MiB, MiB - 512)],
            server.Volumes.Log.Select(seen => (seen.Offset, seen.Length)));
    }

    public static TheoryData<ushort, ulong, uint, ushort, int> Refused() => new()
    {
        { RawClient.Read, 1, 512, 0, Errno.EINVAL },
        { RawClient.Read, 0, 100, 0, Errno.EINVAL },
        { RawClient.Read, 64 * MiB, 512, 0, Errno.EINVAL },
        { RawClient.Read, 64 * MiB - 512, 1024, 0, Errno.EINVAL },
        { RawClient.Read, ulong.MaxValue - 511, 512, 0, Errno.EINVAL },
        { RawClient.Read, 0, 33 * MiB, 0, Errno.EINVAL },
        { RawClient.Read, 0, 0xFFFF_FE00, 0, Errno.EINVAL },
        { RawClient.Read, 0, 512, 2, Errno.EINVAL },
        { RawClient.Read, 0, 512, 0x8000, Errno.EINVAL },
        { RawClient.Write, 1, 512, 0, Errno.EINVAL },
        { RawClient.Write, 0, 513, 0, Errno.EINVAL },
        { RawClient.Write, 64 * MiB, 512, 0, Errno.ENOSPC },
        { RawClient.Write, 64 * MiB - 512, 4096, 0, Errno.ENOSPC },
        { RawClient.Write, 0, 512, 4, Errno.EINVAL },
        { RawClient.Write, 0, 32 * MiB + 512, 0, Errno.EINVAL },
        { RawClient.Write, 0, 64 * MiB, 0, Errno.EINVAL },
        { RawClient.Trim, 512, 513, 0, Errno.EINVAL },
        { RawClient.Trim, 64 * MiB - 512, 1024, 0, Errno.EINVAL },
        { RawClient.Trim, 0, 512, 2, Errno.EINVAL },
        { RawClient.WriteZeroes, 64 * MiB - 512, 1024, 0, Errno.ENOSPC },
        { RawClient.WriteZeroes, 0, 512, 16, Errno.ENOTSUP },
        { RawClient.Cache, 64 * MiB, 512, 0, Errno.EINVAL },
        { RawClient.Flush, 0, 0, 4, Errno.EINVAL },
        { RawClient.BlockStatus, 0, 4096, 0, Errno.EINVAL },
        { 8, 0, 0, 0, Errno.EINVAL },
        { 0xFFFF, 0, 4096, 0, Errno.EINVAL },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task BadRequestsAreRefusedAndTheConnectionGoesOn(ushort command, ulong offset, uint length, ushort flags, int error)
    {
        await using var server = await TestServer.StartAsync();
        foreach (bool structured in new[] { false, true })
        {
            using var client = RawClient.Open(server, structured: structured);
            server.Volumes.Log.Clear();
            byte[] payload = command == RawClient.Write ? Pattern.Random((int)length, 1) : [];
            Assert.Equal((uint)error, client.Call(command, offset, length, flags, payload).Error);
            // What seems to be beyond the end may have the size asked for.
            Assert.DoesNotContain(server.Volumes.Log, seen => seen.Op != XsegOp.Info);
            Assert.Equal(0u, client.Call(RawClient.Read, 0, 512).Error);
        }
    }

    [Fact]
    public async Task AbsurdPayloadAndWrongMagicCutTheClient()
    {
        await using var server = await TestServer.StartAsync();
        using var absurd = RawClient.Open(server);
        absurd.SendRequest(RawClient.Write, 0, 64 * MiB + 512);
        absurd.ExpectClosed();
        using var magic = RawClient.Open(server);
        magic.Send(new byte[28]);
        magic.ExpectClosed();
        using var good = RawClient.Open(server);
        Assert.Equal(0u, good.Call(RawClient.Read, 0, 512).Error);
    }

    [Fact]
    public async Task ReadOnlyExportsRefuseWrites()
    {
        await using var server = await TestServer.StartAsync(options => options with { ReadOnlyExports = ["vol"] });
        using var client = RawClient.Open(server);
        Assert.True(server.Volumes["vol"].ReadOnly);
        Assert.Equal(2, client.Flags & 2);
        Assert.Equal(1u, client.Call(RawClient.Write, 0, 4096, payload: new byte[4096]).Error);
        Assert.Equal(1u, client.Call(RawClient.Trim, 0, 4096).Error);
        Assert.Equal(1u, client.Call(RawClient.WriteZeroes, 0, 4096).Error);
        Assert.Equal(0u, client.Call(RawClient.Read, 0, 4096).Error);
        Assert.Equal(0u, client.Call(RawClient.Flush, 0, 0).Error);
        Assert.DoesNotContain(server.Volumes.Log, seen => seen.Op is XsegOp.Write or XsegOp.Discard or XsegOp.WriteZeroes);
    }

    [Theory]
    [InlineData(Errno.EIO, Errno.EIO)]
    [InlineData(Errno.ENOSPC, Errno.ENOSPC)]
    [InlineData(Errno.EFBIG, Errno.ENOSPC)]
    [InlineData(Errno.EDQUOT, Errno.ENOSPC)]
    [InlineData(Errno.EROFS, Errno.EPERM)]
    [InlineData(Errno.EINVAL, Errno.EINVAL)]
    [InlineData(Errno.ENOMEM, Errno.ENOMEM)]
    [InlineData(Errno.ESHUTDOWN, Errno.ESHUTDOWN)]
    [InlineData(Errno.ETIMEDOUT, Errno.EIO)]
    [InlineData(Errno.ESTALE, Errno.EIO)]
    [InlineData(Errno.EBADMSG, Errno.EIO)]
    [InlineData(Errno.ENOENT, Errno.EIO)]
    public async Task ErrorsOfTheStorageReachTheClient(int errno, int error)
    {
        await using var server = await TestServer.StartAsync();
        foreach (bool structured in new[] { false, true })
        {
            using var client = RawClient.Open(server, structured: structured);
            // The third megabyte is bad.
            server.Volumes.Fault = seen => seen.Op == XsegOp.Flush || (seen.Offset <= 2 * MiB && seen.Offset + seen.Length > 2 * MiB) ? errno : 0;
            Assert.Equal((uint)error, client.Call(RawClient.Read, 2 * MiB, 4096).Error);
            Assert.Equal((uint)error, client.Call(RawClient.Write, 2 * MiB, 4096, payload: new byte[4096]).Error);
            Assert.Equal((uint)error, client.Call(RawClient.Read, 2 * MiB - 4096, MiB).Error);
            Assert.Equal((uint)error, client.Call(RawClient.Write, 0, 5 * MiB, payload: new byte[5 * MiB]).Error);
            Assert.Equal((uint)error, client.Call(RawClient.Trim, 0, 4 * MiB).Error);
            Assert.Equal((uint)error, client.Call(RawClient.Flush, 0, 0).Error);
            if (structured) Assert.Equal((uint)error, client.Call(RawClient.Read, 0, 16 * MiB).Error);
            server.Volumes.Fault = null;
            Assert.Equal(0u, client.Call(RawClient.Read, 2 * MiB, 4096).Error);
        }
    }

    [Fact]
    public async Task ALongSimpleReplyThatFailsMidwayEndsTheConnection()
    {
        await using var server = await TestServer.StartAsync();
        using var client = RawClient.Open(server);
        server.Volumes.Fault = seen => seen.Op == XsegOp.Read && seen.Offset == 10 * MiB ? Errno.EIO : 0;
        client.SendRequest(RawClient.Read, 0, 16 * MiB);
        Assert.Throws<EndOfStreamException>(() => client.Next(16 * MiB));
    }

    [Fact]
    public async Task StructuredRepliesHaveHolesUnlessTheClientWantsOneChunk()
    {
        await using var server = await TestServer.StartAsync();
        Pattern.Random(MiB, 3).CopyTo(server.Volumes["vol"].Bytes, 2 * MiB);
        using var client = RawClient.Open(server, structured: true);
        client.SendRequest(RawClient.Read, MiB, 2 * MiB, 0, 99);
        var (hole, data) = (client.Next(), client.Next());
        Assert.Equal((2, 0, 12), (hole.Type, hole.Flags, hole.Data.Length));
        Assert.Equal((1, 1, MiB + 8), (data.Type, data.Flags, data.Data.Length));
        Assert.Equal((99ul, 99ul), (hole.Cookie, data.Cookie));
        client.SendRequest(RawClient.Read, MiB + 512 * 1024, MiB, 4);
        var whole = client.Next();
        Assert.Equal((1, 1, MiB + 8), (whole.Type, whole.Flags, whole.Data.Length));
        Assert.True(server.Volumes["vol"].Bytes.AsSpan(MiB + 512 * 1024, MiB).SequenceEqual(whole.Data.AsSpan(8)));
        Assert.Equal((uint)Errno.EOVERFLOW, client.Call(RawClient.Read, 0, 8 * MiB, 4).Error);
        client.SendRequest(RawClient.Read, 0, 0);
        Assert.Equal((0, 1), (client.Next().Type, 1));
    }

    [Fact]
    public async Task BlockStatusTellsTheHoles()
    {
        await using var server = await TestServer.StartAsync();
        server.Volumes.Map = [(MiB, 0), (MiB, 1), (2 * MiB, 1), (1ul << 40, 0)];
        using var client = RawClient.Open(server, structured: true, context: true);
        Assert.Equal(
            [1, MiB, 0, 3 * MiB, 3, 4 * MiB, 0], Words(client.Call(RawClient.BlockStatus, 0, 8 * MiB).Data));
        Assert.Equal([1, MiB, 0], Words(client.Call(RawClient.BlockStatus, 0, 8 * MiB, 8).Data));
        Assert.Equal([1, 512, 0], Words(client.Call(RawClient.BlockStatus, 0, 512).Data));
        Assert.Equal((uint)Errno.EINVAL, client.Call(RawClient.BlockStatus, 0, 0).Error);
        Assert.Equal((uint)Errno.EINVAL, client.Call(RawClient.BlockStatus, 64 * MiB, 512).Error);
        server.Volumes.Map = null;
        Assert.Equal([1, 64 * MiB, 0], Words(client.Call(RawClient.BlockStatus, 0, 64 * MiB).Data));
        server.Volumes.Fault = _ => Errno.EIO;
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.BlockStatus, 0, 512).Error);
    }

    [Fact]
    public async Task DisconnectEndsAfterWhatIsUnderWay()
    {
        await using var server = await TestServer.StartAsync();
        using var client = RawClient.Open(server);
        await server.OnReactor(() => server.Volumes.Hold = seen => seen.Op == XsegOp.Flush);
        client.SendRequest(RawClient.Flush, 0, 0, cookie: 5);
        client.SendRequest(RawClient.Disc, 0, 0);
        await server.Until(() => server.Volumes.Held == 1, "the flush is held");
        await server.OnReactor(() =>
        {
            server.Volumes.LetGo();
            return true;
        });
        Assert.Equal(5ul, client.Next().Cookie);
        client.ExpectClosed();
    }

    private static int[] Words(byte[] data) =>
        [.. Enumerable.Range(0, data.Length / 4).Select(i => (int)BinaryPrimitives.ReadUInt32BigEndian(data.AsSpan(i * 4)))];
}
