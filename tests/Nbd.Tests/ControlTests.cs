using System.Net;
using Archipelago.Nbd.Control;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Hosting;
using Archipelago.Runtime.Metrics;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Nbd.Tests;

public sealed class ControlTests
{
    [Fact]
    public async Task ConnectionsAreListedOverTheControlSocket()
    {
        await using var server = await TestServer.StartAsync(options => options with { TcpAddress = new IPEndPoint(IPAddress.Loopback, 0) });
        string socket = Path.Combine(server.Directory, "control");
        using var metrics = new MetricsRegistry(ownOnly: true);
        await using var control = await ControlServer.StartAsync(
            new ControlOptions { SocketPath = socket }, new ProcessStatus("test", "0", SystemClock.Instance), metrics, NullLoggerFactory.Instance, [server.Peer]);
        using var client = new ControlClient(socket);
        Assert.Empty((await client.GetAsync("/v1/nbd/connections", NbdJson.Default.NbdConnections)).Connections);

        using var unix = RawClient.Open(server);
        using var tcp = new RawClient(new IPEndPoint(IPAddress.Loopback, server.Peer.TcpPort));
        await server.OnReactor(() => server.Volumes.Hold = seen => seen.Op == XsegOp.Read);
        for (uint i = 0; i < 3; i++) unix.SendRequest(RawClient.Read, i * 4096, 4096);
        await server.Until(() => server.Volumes.Held == 3 && server.Peer.Statistics!.Connections == 2, "three are under way, the other has connected");
        var listed = (await client.GetAsync("/v1/nbd/connections", NbdJson.Default.NbdConnections)).Connections;
        Assert.Equal(
            [new NbdConnection($"pid {Environment.ProcessId}", "vol", "transmission", 3), new NbdConnection(tcp.Socket.LocalEndPoint!.ToString()!, null, "handshake", 0)],
            listed.OrderByDescending(connection => connection.InFlight));
    }

    [Fact]
    public async Task RequestsBytesErrorsAndProtocolErrorsAreCounted()
    {
        await using var server = await TestServer.StartAsync(options => options with { MaxConnections = 2 });
        using var client = RawClient.Open(server);
        client.Call(RawClient.Read, 0, 4096);
        client.Call(RawClient.Write, 0, 1024, payload: new byte[1024]);
        client.Call(RawClient.Flush, 0, 0);
        client.Call(RawClient.Trim, 0, 2048);
        client.Call(RawClient.WriteZeroes, 0, 8192);
        client.Call(RawClient.Cache, 0, 512);
        client.Call(RawClient.Read, 1, 512);
        using var vandal = RawClient.Open(server);
        using (var third = new RawClient(server)) third.ExpectClosed();
        vandal.Send(new byte[28]);
        vandal.ExpectClosed();
        await server.Until(() => server.Peer.Statistics!.Connections == 1, "it was cut");
        var s = server.Peer.Statistics!;
        Assert.Equal((2, 1, 1, 1, 1, 1), (s.Reads, s.Writes, s.Flushes, s.Discards, s.Zeroes, s.Others));
        Assert.Equal((4096 + 512, 1024, 2048, 8192), (s.BytesRead, s.BytesWritten, s.BytesDiscarded, s.BytesZeroed));
        Assert.Equal((1, 1, 1, 1, 0), (s.Errors, s.ProtocolErrors, s.Cut, s.Refused, s.Lost));
    }
}
