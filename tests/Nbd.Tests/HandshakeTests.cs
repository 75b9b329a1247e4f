using System.Buffers.Binary;
using System.Text;
using Archipelago.Xseg;

namespace Archipelago.Nbd.Tests;

public sealed class HandshakeTests
{
    [Theory]
    [InlineData(XsegOp.Open)]
    [InlineData(XsegOp.Close)]
    [InlineData(XsegOp.Info)]
    [InlineData(XsegOp.Read)]
    public async Task AnExceptionOfAPeerConcernsItsClientOnly(XsegOp op)
    {
        await using var server = await TestServer.StartAsync();
        int left = 1;
        await server.OnReactor(() => server.Volumes.Fault = seen => seen.Op == op && left-- > 0 ? throw new InvalidOperationException("nobody expects this") : 0);
        using (var first = new RawClient(server))
        {
            first.Greet();
            first.SendOption(op is XsegOp.Info or XsegOp.Read ? 3u : 7u, op is XsegOp.Info or XsegOp.Read ? [] : [.. RawClient.Text("vol"), 0, 0]);
            if (op == XsegOp.Close) Assert.Equal(RawClient.Ack, first.OptionReplies().Last().Type);
            await server.Until(() => left <= 0 || op == XsegOp.Close, "it has thrown");
        }

        await server.Until(() => left <= 0 && server.Peer.Statistics!.Connections == 0, "the client is gone");
        using var second = RawClient.Open(server);
        Assert.Equal(0u, second.Call(RawClient.Read, 0, 4096).Error);
    }

    [Fact]
    public async Task ExportNameEndsTheHandshakeWithAndWithoutZeroes()
    {
        await using var server = await TestServer.StartAsync();
        foreach (bool zeroes in new[] { false, true })
        {
            using var client = new RawClient(server);
            client.Greet(zeroes ? 1u : 3u);
            client.SendOption(1, "vol"u8.ToArray());
            byte[] answer = client.Receive(zeroes ? 134 : 10);
            Assert.Equal(64ul << 20, BinaryPrimitives.ReadUInt64BigEndian(answer));
            Assert.Equal(0x56d, BinaryPrimitives.ReadUInt16BigEndian(answer.AsSpan(8)));
            Assert.All(answer[10..], zero => Assert.Equal(0, zero));
            Assert.Equal(0u, client.Call(RawClient.Read, 0, 4096).Error);
        }
    }

    [Fact]
    public async Task InfoTellsEverythingAndOpensNothing()
    {
        await using var server = await TestServer.StartAsync();
        using var client = new RawClient(server);
        client.Greet();
        var replies = client.Go("vol", 6, 1, 2, 3);
        Assert.Equal([0, 1, 2, 3], replies[..^1].Select(reply => (int)BinaryPrimitives.ReadUInt16BigEndian(reply.Data)).Order());
        Assert.Equal(RawClient.Ack, replies[^1].Type);
        Assert.Equal("vol", Encoding.ASCII.GetString(replies.Single(reply => reply.Type == 3 && reply.Data[1] == 1).Data[2..]));
        byte[] sizes = replies.Single(reply => reply.Type == 3 && reply.Data[1] == 3).Data;
        Assert.Equal([512u, 4096u, 32u << 20], new[] { 2, 6, 10 }.Select(at => BinaryPrimitives.ReadUInt32BigEndian(sizes.AsSpan(at))));
        Assert.Equal(0, await server.OnReactor(() => server.Volumes["vol"].Opens));
        Assert.Equal(RawClient.Ack, client.Go("vol").Last().Type);
        Assert.Equal(1, await server.OnReactor(() => server.Volumes["vol"].Opens));
    }

    [Theory]
    [InlineData("missing")]
    [InlineData("")]
    [InlineData(".hidden")]
    [InlineData("a/b")]
    [InlineData("a name with spaces")]
    [InlineData("0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890")]
    public async Task AnUnknownExportIsAnErrorAndTheClientMayAskAgain(string name)
    {
        await using var server = await TestServer.StartAsync();
        using var client = new RawClient(server);
        client.Greet();
        Assert.Equal(RawClient.Unknown, client.Go(name).Single().Type);
        Assert.Equal(RawClient.Unknown, client.Go(name, 6).Single().Type);
        Assert.Equal(RawClient.Ack, client.Go("vol").Last().Type);
        using var old = new RawClient(server);
        old.Greet();
        old.SendOption(1, Encoding.UTF8.GetBytes(name));
        old.ExpectClosed();
    }

    [Fact]
    public async Task TheEmptyNameIsTheDefaultExport()
    {
        await using var server = await TestServer.StartAsync(options => options with { DefaultExport = "vol" });
        using var client = RawClient.Open(server, "");
        Assert.Equal(64ul << 20, client.Size);
    }

    [Theory]
    [InlineData(5u, RawClient.Unsupported)]
    [InlineData(4u, RawClient.Unsupported)]
    [InlineData(11u, RawClient.Unsupported)]
    [InlineData(0xFFFF_FFFFu, RawClient.Unsupported)]
    public async Task AnUnknownOptionIsUnsupported(uint option, uint error)
    {
        await using var server = await TestServer.StartAsync();
        using var client = new RawClient(server);
        client.Greet();
        Assert.Equal(error, client.Option(option, [1, 2, 3]).Single().Type);
        Assert.Equal(RawClient.Ack, client.Go("vol").Last().Type);
    }

    public static TheoryData<uint, byte[]> Malformed() => new()
    {
        { 3, [0] },
        { 8, [0] },
        { 6, [] },
        { 7, [0, 0, 0] },
        { 7, [0xFF, 0xFF, 0xFF, 0xFF, 0, 0] },
        { 7, [0, 0, 0, 3, (byte)'v', (byte)'o', (byte)'l', 0, 9, 0, 3] },
        { 7, [0, 0, 0, 3, (byte)'v', (byte)'o', (byte)'l', 0, 0, 0] },
        { 9, [0, 0, 0, 3, (byte)'v', (byte)'o', (byte)'l', 0, 0, 0, 0] },
        { 10, [0, 0, 0, 3, (byte)'v', (byte)'o', (byte)'l', 0, 0, 0, 0] },
    };

    [Theory]
    [MemberData(nameof(Malformed))]
    public async Task AMalformedOptionIsInvalid(uint option, byte[] data)
    {
        // LIST_META_CONTEXT and SET_META_CONTEXT are well formed here, but structured replies come first.
        await using var server = await TestServer.StartAsync();
        using var client = new RawClient(server);
        client.Greet();
        Assert.Equal(RawClient.Invalid, client.Option(option, data).Single().Type);
        Assert.Equal(RawClient.Ack, client.Go("vol").Last().Type);
    }

    [Fact]
    public async Task MetaContextsAreListedAndSet()
    {
        await using var server = await TestServer.StartAsync();
        using var client = new RawClient(server);
        client.Greet();
        client.Option(8, []);
        Assert.Equal([4u, RawClient.Ack], client.Option(9, RawClient.Query("vol")).Select(reply => reply.Type));
        Assert.Equal([4u, RawClient.Ack], client.Option(9, RawClient.Query("vol", "x-other:", "base:")).Select(reply => reply.Type));
        Assert.Equal([RawClient.Ack], client.Option(9, RawClient.Query("vol", "x-other:thing")).Select(reply => reply.Type));
        Assert.Equal([RawClient.Ack], client.Option(10, RawClient.Query("vol")).Select(reply => reply.Type));
        Assert.Equal([RawClient.Ack], client.Option(10, RawClient.Query("vol", "base:")).Select(reply => reply.Type));
        var set = client.Option(10, RawClient.Query("vol", "x-other:thing", "base:allocation"));
        Assert.Equal("base:allocation", Encoding.ASCII.GetString(set[0].Data[4..]));
        Assert.Equal(RawClient.Invalid, client.Option(10, [.. RawClient.Text("vol"), 0, 0, 0, 2, 0, 0, 0, 1, 65]).Single().Type);
        Assert.Equal(RawClient.Unknown, client.Option(10, RawClient.Query("no such", "base:allocation")).Single().Type);
    }

    [Fact]
    public async Task AbortIsAcknowledgedAndEndsTheConnection()
    {
        await using var server = await TestServer.StartAsync();
        using var client = new RawClient(server);
        client.Greet();
        Assert.Equal(RawClient.Ack, client.Option(2, []).Single().Type);
        client.ExpectClosed();
    }

    [Fact]
    public async Task OversizedOptionsAreSkippedAndAbsurdOnesCutTheClient()
    {
        await using var server = await TestServer.StartAsync();
        using var client = new RawClient(server);
        client.Greet();
        Assert.Equal(RawClient.TooBig, client.Option(7, new byte[5000]).Single().Type);
        Assert.Equal(RawClient.TooBig, client.Option(77, new byte[65536]).Single().Type);
        Assert.Equal(RawClient.Unknown, client.Go(new string('x', 4000)).Single().Type);
        client.SendOption(7, [], length: 65537);
        client.ExpectClosed();
        using var old = new RawClient(server);
        old.Greet();
        old.SendOption(1, new byte[5000]);
        old.ExpectClosed();
    }

    [Fact]
    public async Task UnknownFlagsAndWrongMagicCutTheClient()
    {
        await using var server = await TestServer.StartAsync();
        using var flags = new RawClient(server);
        flags.Greet(4);
        flags.ExpectClosed();
        using var magic = new RawClient(server);
        magic.Greet();
        magic.Send(new byte[16]);
        magic.ExpectClosed();
    }

    [Fact]
    public async Task GarbageNeverHurtsAnybodyElse()
    {
        await using var server = await TestServer.StartAsync(options => options with { HandshakeTimeout = TimeSpan.FromMilliseconds(300) });
        using var good = RawClient.Open(server);
        for (int seed = 0; seed < 200; seed++)
        {
            using var client = new RawClient(server);
            byte[] garbage = Pattern.Random(1 + seed * 37 % 5000, seed);
            // Half of them get past the flags, or past the option's magic.
            if (seed % 2 == 0) garbage = [0, 0, 0, 3, .. garbage];
            if (seed % 4 == 0) garbage = [0, 0, 0, 3, .. "IHAVEOPT"u8, 0, 0, 0, (byte)(seed % 13), 0, 0, (byte)(seed % 17), .. garbage];
            try
            {
                client.Send(garbage);
                if (seed % 3 == 0) client.ExpectClosed();
            }
            catch (System.Net.Sockets.SocketException)
            {
                // Cut already.
            }
        }

        Assert.Equal(0u, good.Call(RawClient.Read, 0, 4096).Error);
        await server.Until(() => server.Peer.Statistics!.Connections == 1, "all others are gone");
    }

    [Fact]
    public async Task HalfOpenAndSlowHandshakesAreCut()
    {
        await using var server = await TestServer.StartAsync(options => options with { HandshakeTimeout = TimeSpan.FromMilliseconds(200) });
        using var silent = new RawClient(server);
        using var half = new RawClient(server);
        half.Greet();
        half.SendOption(7, [0, 0], length: 40);
        using var chatty = new RawClient(server);
        chatty.Greet();
        silent.ExpectClosed();
        half.ExpectClosed();
        // Options without end do not buy time either.
        var failure = Record.Exception(() => Enumerable.Range(0, int.MaxValue).All(_ => chatty.Go("vol", 6).Count > 0));
        Assert.True(failure is EndOfStreamException or System.Net.Sockets.SocketException, failure?.ToString());
    }

    [Fact]
    public async Task AThousandIdleConnectionsLeaveRoomForWork()
    {
        await using var server = await TestServer.StartAsync();
        var idle = new List<RawClient>();
        for (int i = 0; i < 1000; i++) idle.Add(RawClient.Open(server));
        using var busy = RawClient.Open(server, structured: true);
        byte[] data = Pattern.Random(8192, 4);
        Assert.Equal(0u, busy.Call(RawClient.Write, 4096, 8192, payload: data).Error);
        Assert.Equal(data, busy.Call(RawClient.Read, 4096, 8192).Data);
        Assert.Equal(0u, idle[500].Call(RawClient.Read, 0, 512).Error);
        Assert.Equal(1, await server.OnReactor(() => server.Volumes["vol"].Opens));
        foreach (var client in idle) client.Dispose();
        await server.Until(() => server.Peer.Statistics!.Connections == 1, "the idle ones are gone");
        Assert.Equal(0, await server.OnReactor(() => server.Volumes["vol"].Closes));
    }

    [Fact]
    public async Task MoreThanTheMostConnectionsAreClosedAtOnce()
    {
        await using var server = await TestServer.StartAsync(options => options with { MaxConnections = 2 });
        using var first = RawClient.Open(server);
        using var second = RawClient.Open(server);
        using var third = new RawClient(server);
        third.ExpectClosed();
        second.Dispose();
        await server.Until(() => server.Peer.Statistics!.Connections == 1, "the second is gone");
        using var fourth = RawClient.Open(server);
        Assert.Equal(1, server.Peer.Statistics!.Refused);
    }
}
