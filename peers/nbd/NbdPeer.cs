using Archipelago.Nbd.Core;
using Archipelago.Nbd.Sockets;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Nbd;

/// <summary>
/// The NBD gateway: exports every volume of a route on a Unix socket and, if asked for, on TCP. It serves nobody in the segment.
/// Everything runs on the peer's reactor.
/// </summary>
public sealed partial class NbdPeer(NbdOptions options) : Peer
{
    private NbdServer? _server;

    /// <summary>The options.</summary>
    public NbdOptions Options => options;

    /// <summary>What the gateway has done. Null before the start. Readable by any thread.</summary>
    public GatewayStatistics? Statistics => _server?.Gateway.Statistics;

    /// <summary>Port that the TCP listener is bound to; 0 if there is none.</summary>
    public int TcpPort => _server?.TcpPort ?? 0;

    /// <inheritdoc/>
    /// <exception cref="ErrnoException">EINVAL for options out of range, EADDRINUSE if somebody listens on an address already.</exception>
    public override ValueTask StartAsync()
    {
        Check(options.SocketPath != null || options.TcpAddress != null, "[nbd] socket, tcp: one of them is needed");
        Check(options.MaxConnections is >= 1 and <= 65536, $"[nbd] max-connections: expected 1 to 65,536, found {options.MaxConnections}");
        Check(options.MaxInFlight is >= 1 and <= 1024, $"[nbd] max-in-flight: expected 1 to 1,024, found {options.MaxInFlight}");
        Check(options.HandshakeTimeout > TimeSpan.Zero, $"[nbd] handshake-timeout: expected more than 0, found {options.HandshakeTimeout}");
        Check(options.StallTimeout > TimeSpan.Zero, $"[nbd] stall-timeout: expected more than 0, found {options.StallTimeout}");
        Check(options.RequestDeadline >= TimeSpan.Zero, $"[nbd] deadline: expected 0 or more, found {options.RequestDeadline}");
        Check(Context.Port.Pages.Count >= NbdOptions.MinimumPages, $"[nbd] pages: expected {NbdOptions.MinimumPages} or more, found {Context.Port.Pages.Count}");
        var server = new NbdServer(Context, options);
        server.Listen();
        _server = server;
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public override ValueTask<int> HandleAsync(Request request) => new(request.Op == XsegOp.Ping ? 0 : Errno.ENOTSUP);

    /// <summary>Stops accepting, lets what is under way end and sends its replies, closes connections and volumes.</summary>
    public override async ValueTask StopAsync()
    {
        if (_server != null) await _server.StopAsync();
    }

    private static void Check(bool holds, string what)
    {
        if (!holds) throw new ErrnoException(Errno.EINVAL, $"nbd: {what}");
    }
}
