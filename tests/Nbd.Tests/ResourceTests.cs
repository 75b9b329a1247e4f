using System.Net;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Nbd.Tests;

public sealed class ResourceTests
{
    private const int MiB = 1 << 20;

    [Fact]
    public async Task DisconnectInPayloadFreesSlotAndPages()
    {
        await using var server = await TestServer.StartAsync();
        var (slots, pages) = await Free(server);
        foreach (int sent in new[] { 0, 1, 4096, 300_000, MiB, 3 * MiB })
        {
            using var client = RawClient.Open(server);
            client.SendRequest(RawClient.Write, 512, 4 * MiB, payload: new byte[sent]);
            await server.Until(() => server.Context.Port.FreeSlots < slots || sent >= MiB, "the write has begun");
        }

        await server.Until(() => server.Peer.Statistics!.Connections == 0, "all are gone");
        Assert.Equal((slots, pages), await Free(server));
    }

    [Fact]
    public async Task SlotsOfALostClientAreFreeWhenTheirAnswersCome()
    {
        await using var server = await TestServer.StartAsync();
        var (slots, pages) = await Free(server);
        using (var client = RawClient.Open(server))
        {
            await server.OnReactor(() => server.Volumes.Hold = _ => true);
            for (uint i = 0; i < 10; i++) client.SendRequest(RawClient.Write, i * 65536, 65536, payload: new byte[65536]);
            for (uint i = 0; i < 3; i++) client.SendRequest(RawClient.Read, i * 65536, 8 * MiB);
            await server.Until(() => server.Volumes.Held == 10 + 3 * 4, "all are held");
        }

        // The client is gone; what it asked for is not.
        await server.Until(() => server.Context.Port.FreeSlots == slots - 22, "the slots are held");
        Assert.Equal(0, server.Volumes["vol"].Closes);
        await LetGo(server);
        await server.Until(() => server.Volumes["vol"].Closes == 1, "the volume is closed after the last answer");
        Assert.Equal((slots, pages), await Free(server));
    }

    [Fact]
    public async Task AClientThatComesBackDoesNotWriteUntilWhatItHadUnderWayHasEnded()
    {
        await using var server = await TestServer.StartAsync();
        using var other = RawClient.Open(server);
        using (var lost = RawClient.Open(server))
        {
            await server.OnReactor(() => server.Volumes.Hold = seen => seen.Op == XsegOp.Write && seen.Length == 8192);
            lost.SendRequest(RawClient.Write, 0, 8192, payload: Enumerable.Repeat((byte)1, 8192).ToArray());
            lost.SendRequest(RawClient.Read, 0, 512);
            await server.Until(() => server.Volumes.Held == 1, "the old write is held");
        }

        await server.Until(() => server.Volumes["vol"].Opens == 1 && server.Peer.Statistics!.InFlight == 1, "the loss was seen");
        using var back = RawClient.Open(server);
        byte[] newer = Enumerable.Repeat((byte)2, 4096).ToArray();
        back.SendRequest(RawClient.Write, 0, 4096, payload: newer);
        other.SendRequest(RawClient.Write, 4096, 4096, payload: newer);
        Assert.False(back.Socket.Poll(200_000, System.Net.Sockets.SelectMode.SelectRead));
        Assert.False(other.Socket.Poll(0, System.Net.Sockets.SelectMode.SelectRead));
        await LetGo(server);
        Assert.Equal(0u, back.Answer(RawClient.Write, 0, 4096).Error);
        Assert.Equal(0u, other.Answer(RawClient.Write, 4096, 4096).Error);
        Assert.Equal([.. newer, .. newer], back.Call(RawClient.Read, 0, 8192).Data);
    }

    /// <summary>Such as VMs that are stopped: what they do not take must not be taken from all others.</summary>
    [Theory]
    [InlineData(1, 4 * MiB)]
    [InlineData(8, 1 * MiB)]
    [InlineData(60, 4096)]
    public async Task ClientsThatDoNotTakeTheirRepliesLeaveSlotsAndPagesToOthers(int stopped, int size)
    {
        await using var server = await TestServer.StartAsync(options => options with { Pages = 4096 }, new SegmentOptions { Ports = 4, SlotsPerPort = 256, Pages = 16 * 1024, Prefault = false });
        var clients = Enumerable.Range(0, stopped).Select(_ => RawClient.Open(server)).ToList();
        try
        {
            foreach (var client in clients)
                for (int i = 0; i < 128; i++) client.SendRequest(RawClient.Read, (ulong)i % 8 * 4 * MiB, (uint)size);
            using var other = RawClient.Open(server);
            for (int i = 0; i < 100; i++)
            {
                Assert.Equal(0u, other.Call(RawClient.Read, (ulong)i * 65536, 65536).Error);
                Assert.Equal(0u, other.Call(RawClient.Write, (ulong)i * 65536, 65536, payload: new byte[65536]).Error);
            }

            Assert.Equal(0, server.Peer.Statistics!.Cut);
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    public async Task WithoutSlotsOrPagesClientsWaitAndNothingFails()
    {
        // 16 slots and barely more than one largest piece.
        await using var server = await TestServer.StartAsync(
            options => options with { Pages = NbdOptions.MinimumPages + 20 }, new SegmentOptions { Ports = 4, SlotsPerPort = 16, Pages = 4096, Prefault = false }, lent: 3000);
        // One has the pages and not yet its payload, until the others wait.
        using var first = RawClient.Open(server);
        first.SendRequest(RawClient.Write, 56 * MiB, MiB, payload: new byte[1000]);
        await server.Until(() => server.Context.Port.Pages.Count < 30, "the pages are taken");
        var others = Task.WhenAll(Enumerable.Range(0, 6).Select(number => Task.Run(() =>
        {
            using var client = RawClient.Open(server, structured: number % 2 == 0);
            ulong offset = (ulong)number * 8 * MiB;
            for (int i = 0; i < 10; i++)
            {
                uint length = new uint[] { 4096, 6 * MiB + 512, 512, 131072, MiB }[(i + number) % 5];
                byte[] data = Pattern.Random((int)length, number * 100 + i);
                Assert.Equal(0u, client.Call(RawClient.Write, offset + 1536, length, payload: data).Error);
                var (error, read) = client.Call(RawClient.Read, offset + 1536, length);
                Assert.Equal(0u, error);
                Assert.True(data.AsSpan().SequenceEqual(read));
            }
        })));
        await server.Until(() => server.Peer.Statistics!.Waits > 0, "others wait");
        first.Send(new byte[MiB - 1000]);
        Assert.Equal(0u, first.Answer(RawClient.Write, 0, MiB).Error);
        await others;
    }

    [Fact]
    public async Task AConnectionHasNoMoreRequestsUnderWayThanItMay()
    {
        await using var server = await TestServer.StartAsync(options => options with { MaxInFlight = 8 });
        using var client = RawClient.Open(server);
        await server.OnReactor(() => server.Volumes.Hold = seen => seen.Op == XsegOp.Read && seen.Length != 512);
        for (ulong i = 0; i < 100; i++) client.SendRequest(RawClient.Read, i * 4096, 4096, cookie: i);
        await server.Until(() => server.Volumes.Held == 8, "eight are under way");
        // Another one's are not held up.
        using var other = RawClient.Open(server, structured: true);
        Assert.Equal(0u, other.Call(RawClient.Read, 0, 512).Error);
        Assert.Equal(8, await server.OnReactor(() => server.Volumes.Held));
        await LetGo(server);
        var cookies = Enumerable.Range(0, 100).Select(_ => client.Next(4096).Cookie).Order();
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (ulong)i), cookies);
    }

    [Fact]
    public async Task WhoHoldsPagesAndStallsWhileOthersWaitIsCut()
    {
        await using var server = await TestServer.StartAsync(
            options => options with { Pages = NbdOptions.MinimumPages, StallTimeout = TimeSpan.FromMilliseconds(200) });
        using var idle = RawClient.Open(server);
        using var stalled = RawClient.Open(server);
        stalled.SendRequest(RawClient.Write, 0, MiB, payload: new byte[1000]);
        await server.Until(() => server.Context.Port.Pages.Count < 10, "the pages are taken");
        using var other = RawClient.Open(server);
        Assert.Equal(0u, other.Call(RawClient.Write, 0, MiB, payload: new byte[MiB]).Error);
        stalled.ExpectClosed();
        Assert.Equal(0u, idle.Call(RawClient.Read, 0, 4096).Error);
    }

    [Fact]
    public async Task WhoDoesNotTakeRepliesWhileOthersWaitIsCut()
    {
        await using var server = await TestServer.StartAsync(
            options => options with { StallTimeout = TimeSpan.FromMilliseconds(200) }, new SegmentOptions { Ports = 4, SlotsPerPort = 16, Pages = 8192, Prefault = false }, pages: 600, lent: 6000);
        new Random(3).NextBytes(server.Volumes["vol"].Bytes.AsSpan(0, 16 * MiB));
        // Each may have one under way whatever others have: so many leave nothing.
        var stalled = Enumerable.Range(0, 16).Select(_ => RawClient.Open(server)).ToList();
        stalled.ForEach(client => client.SendRequest(RawClient.Read, 0, MiB));
        await server.Until(() => server.Context.Port.FreeSlots <= 4, "the slots are taken");
        using var other = RawClient.Open(server);
        Assert.Equal(0u, other.Call(RawClient.Read, 0, 4096).Error);
        Assert.True(server.Peer.Statistics!.Cut > 0);
        stalled.ForEach(client => client.Dispose());
    }

    [Fact]
    public async Task PassedDeadlinesAreLoggedOnceASecondAndAllOfThemAreCounted()
    {
        await using var server = await TestServer.StartAsync(options => options with { RequestDeadline = TimeSpan.FromMilliseconds(20) });
        using var client = RawClient.Open(server, structured: true);
        await server.OnReactor(() => server.Volumes.Hold = _ => true);
        for (int i = 0; i < 5; i++) Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Read, 0, 4096).Error);
        await server.Until(() => Passed().Sum(line => (int)line.Values["Requests"]!) == 5, "the log counts all of them");
        var lines = Passed();
        Assert.InRange(lines.Length, 2, 4);
        Assert.All(lines, line => Assert.Equal("vol", line.Values["Volume"]));
        // The reactor's clock is read before the line is written.
        Assert.All(lines.Skip(1).Zip(lines), pair => Assert.True(pair.First.At - pair.Second.At > TimeSpan.FromMilliseconds(900)));
        await LetGo(server);

        CapturedLine[] Passed() => [.. server.Logs.Lines.Where(line => line.Level == LogLevel.Warning && line.Text.Contains("deadline", StringComparison.Ordinal))];
    }

    [Fact]
    public async Task ADeadlineAnswersWhileTheSlotStaysHeld()
    {
        await using var server = await TestServer.StartAsync(options => options with { RequestDeadline = TimeSpan.FromMilliseconds(50) });
        var (slots, pages) = await Free(server);
        using var client = RawClient.Open(server, structured: true);
        await server.OnReactor(() => server.Volumes.Hold = seen => seen.Offset >= 65536);
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Write, 65536, 4096, payload: new byte[4096]).Error);
        // Elsewhere: what overlaps the write would not even be sent.
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Read, 131072, 4096).Error);
        Assert.Equal((uint)Errno.EIO, client.Call(RawClient.Read, 131072, 16 * MiB).Error);
        Assert.Equal(0u, client.Call(RawClient.Read, 0, 4096).Error);
        Assert.Equal(slots - 6, await server.OnReactor(() => server.Context.Port.FreeSlots));
        Assert.Equal(3, server.Peer.Statistics!.Expired);
        await LetGo(server);
        await server.Until(() => server.Context.Port.FreeSlots == slots, "the slots are free");
        Assert.Equal((slots, pages), await Free(server));
        Assert.Equal(0u, client.Call(RawClient.Read, 65536, 4096).Error);
    }

    [Fact]
    public async Task NothingIsAllocatedPerRequest()
    {
        await using var server = await TestServer.StartAsync();
        server.Volumes.Recording = false;
        new Random(3).NextBytes(server.Volumes["vol"].Bytes.AsSpan(0, 16 * MiB));
        using var client = RawClient.Open(server, structured: true);
        var batch = new List<byte>();
        for (ulong i = 0; i < 64; i++)
        {
            batch.AddRange(RawClient.Request(RawClient.Read, i * 8192, 8192));
            batch.AddRange(RawClient.Request(RawClient.Write, i * 8192, 4096));
            batch.AddRange(new byte[4096]);
            batch.AddRange(RawClient.Request(RawClient.Flush, 0, 0));
        }

        byte[] bytes = [.. batch];
        byte[] replies = new byte[64 * (28 + 8192 + 16 + 16)];
        void Round()
        {
            client.Send(bytes);
            for (int at = 0; at < replies.Length;) at += client.Socket.Receive(replies.AsSpan(at));
        }

        for (int i = 0; i < 50; i++) Round();
        long before = await server.OnReactor(GC.GetAllocatedBytesForCurrentThread);
        long bare = await server.OnReactor(GC.GetAllocatedBytesForCurrentThread) - before;
        before = await server.OnReactor(GC.GetAllocatedBytesForCurrentThread);
        for (int i = 0; i < 200; i++) Round();
        long after = await server.OnReactor(GC.GetAllocatedBytesForCurrentThread);
        // 38,400 requests; what is left is the question itself, and queues of the reactor that may grow: less than half a byte a request.
        Assert.InRange(after - before, 0, bare + 16384);
    }

    /// <summary>Over TCP a client's end is no hang-up, as on a Unix socket: only who reads, or asks for it, is told.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task AClientThatIsGoneIsNoticedWhileItIsNotRead(bool atLimit)
    {
        await using var server = await TestServer.StartAsync(
            options => options with { MaxInFlight = atLimit ? 2 : 128, Pages = NbdOptions.MinimumPages, TcpAddress = new IPEndPoint(IPAddress.Loopback, 0) }, pages: NbdOptions.MinimumPages);
        var address = new IPEndPoint(IPAddress.Loopback, server.Peer.TcpPort);
        using var other = Tcp();
        // At the limit, or with a payload for which there are no pages.
        await server.OnReactor(() => server.Volumes.Hold = seen => seen.Op == XsegOp.Write);
        if (!atLimit) other.SendRequest(RawClient.Write, 8 * MiB, MiB, payload: new byte[MiB]);
        if (!atLimit) await server.Until(() => server.Volumes.Held == 1, "the pages are taken");
        using (var client = Tcp())
        {
            for (uint i = 0; i < 2; i++) client.SendRequest(RawClient.Write, i * 4096, 4096, payload: new byte[4096]);
            await server.Until(() => atLimit ? server.Volumes.Held == 2 : server.Peer.Statistics!.Waits > 0, "it is not read");
        }

        // What the loss of the client means for others has begun, while nothing has been answered.
        await server.Until(() => server.Peer.Statistics!.Lost == 1, "its end was noticed");
        await LetGo(server);
        await server.Until(() => server.Peer.Statistics!.Connections == 1, "its resources are free");

        RawClient Tcp()
        {
            var client = new RawClient(address);
            client.Greet();
            Assert.Equal(RawClient.Ack, client.Go("vol").Last().Type);
            return client;
        }
    }

    [Fact]
    public async Task WhoClosesItsSideAfterADisconnectStillHasItsReplies()
    {
        await using var server = await TestServer.StartAsync(options => options with { TcpAddress = new IPEndPoint(IPAddress.Loopback, 0) });
        using var client = new RawClient(new IPEndPoint(IPAddress.Loopback, server.Peer.TcpPort));
        client.Greet();
        Assert.Equal(RawClient.Ack, client.Go("vol").Last().Type);
        await server.OnReactor(() => server.Volumes.Hold = seen => seen.Op == XsegOp.Read);
        client.SendRequest(RawClient.Read, 0, 4096, cookie: 5);
        client.SendRequest(RawClient.Disc, 0, 0);
        await server.Until(() => server.Volumes.Held == 1, "the read is held");
        client.Socket.Shutdown(System.Net.Sockets.SocketShutdown.Send);
        long before = await server.OnReactor(() => server.Context.Reactor.Clock.MonotonicNanoseconds);
        await server.Until(() => server.Context.Reactor.Clock.MonotonicNanoseconds > before + 50_000_000, "the reactor has had time to see it");
        await LetGo(server);
        Assert.Equal(5ul, client.Next(4096).Cookie);
        client.ExpectClosed();
    }

    [Fact]
    public async Task StopEndsWhatIsUnderWayAndClosesTheVolume()
    {
        await using var server = await TestServer.StartAsync();
        using var client = RawClient.Open(server);
        using var shy = new RawClient(server);
        await server.OnReactor(() => server.Volumes.Hold = seen => seen.Op == XsegOp.Flush);
        client.SendRequest(RawClient.Flush, 0, 0, cookie: 77);
        await server.Until(() => server.Volumes.Held == 1, "the flush is held");
        var stopping = server.StopPeers();
        shy.ExpectClosed();
        Assert.False(stopping.IsCompleted);
        await LetGo(server);
        Assert.Equal(77ul, client.Next().Cookie);
        client.ExpectClosed();
        await stopping;
        Assert.Equal(1, server.Volumes["vol"].Closes);
        Assert.False(File.Exists(server.SocketPath));
    }

    [Fact]
    public async Task TheVolumeIsOpenWhileAnybodyUsesIt()
    {
        await using var server = await TestServer.StartAsync();
        var volume = server.Volumes["vol"];
        using (var first = RawClient.Open(server))
        {
            using var second = RawClient.Open(server);
            first.Dispose();
            await server.Until(() => server.Peer.Statistics!.Connections == 1, "the first is gone");
            Assert.Equal((1, 0), (volume.Opens, volume.Closes));
            volume.Size = 128 * MiB;
            using var third = RawClient.Open(server);
            Assert.Equal((64ul * MiB, 128ul * MiB), (second.Size, third.Size));
        }

        await server.Until(() => volume.Closes == 1, "closed after the last");
        using var again = RawClient.Open(server);
        Assert.Equal(2, volume.Opens);
    }

    [Fact]
    public async Task AClientThatLeavesWhileItsVolumeOpensLeavesNothing()
    {
        await using var server = await TestServer.StartAsync();
        await server.OnReactor(() => server.Volumes.Hold = seen => seen.Op == XsegOp.Open);
        using (var client = new RawClient(server))
        {
            client.Greet();
            client.SendOption(7, [.. RawClient.Text("vol"), 0, 0]);
            await server.Until(() => server.Volumes.Held == 1, "OPEN is held");
        }

        await LetGo(server);
        await server.Until(() => server.Volumes["vol"] is { Opens: 1, Closes: 1 } && server.Peer.Statistics!.Connections == 0, "opened, closed, gone");
    }

    [Fact]
    public async Task ListeningRefusesTheLivingAndReplacesTheDead()
    {
        await using var server = await TestServer.StartAsync();
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(server.SocketPath));
        var taken = await Assert.ThrowsAsync<ErrnoException>(() => TestServer.StartAsync(options => options with { SocketPath = server.SocketPath }));
        Assert.Equal(Errno.EADDRINUSE, taken.Errno);
        string plain = Path.Combine(server.Directory, "plain"), dead = Path.Combine(server.Directory, "dead");
        await File.WriteAllTextAsync(plain, "precious");
        await Assert.ThrowsAsync<ErrnoException>(() => TestServer.StartAsync(options => options with { SocketPath = plain }));
        Assert.Equal("precious", await File.ReadAllTextAsync(plain));
        using (var left = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0))
        {
            left.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(dead));
            File.Copy(plain, dead + ".keep");
        }

        // .NET unlinks on dispose; a killed process does not.
        if (!File.Exists(dead)) await Tool.Run("python3", "-c", "import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])", dead);
        await using var next = await TestServer.StartAsync(options => options with { SocketPath = dead });
        using var client = new RawClient(new System.Net.Sockets.UnixDomainSocketEndPoint(dead));
        client.Greet();
        var tooLong = await Assert.ThrowsAsync<ErrnoException>(() => TestServer.StartAsync(options => options with { SocketPath = "/tmp/" + new string('x', 120) }));
        Assert.Equal(Errno.ENAMETOOLONG, tooLong.Errno);
    }

    [Fact]
    public async Task TcpServesBesideTheUnixSocket()
    {
        await using var server = await TestServer.StartAsync(options => options with { TcpAddress = new IPEndPoint(IPAddress.Loopback, 0) });
        using var client = new RawClient(new IPEndPoint(IPAddress.Loopback, server.Peer.TcpPort));
        client.Greet();
        Assert.Equal(RawClient.Ack, client.Go("vol").Last().Type);
        byte[] data = Pattern.Random(2 * MiB, 9);
        Assert.Equal(0u, client.Call(RawClient.Write, 512, 2 * MiB, payload: data).Error);
        Assert.Equal(data, client.Call(RawClient.Read, 512, 2 * MiB).Data);
    }

    private static Task<(int Slots, int Pages)> Free(TestServer server) => server.OnReactor(() => (server.Context.Port.FreeSlots, server.Context.Port.Pages.Count));

    private static Task LetGo(TestServer server) => server.OnReactor(() =>
    {
        server.Volumes.LetGo();
        return true;
    });
}
