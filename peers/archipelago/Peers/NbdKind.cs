using System.Net;
using System.Text.Json.Nodes;
using Archipelago.Nbd;
using Archipelago.Nbd.Core;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Metrics;

namespace Archipelago.Cli.Peers;

/// <summary>The NBD gateway.</summary>
internal static class NbdKind
{
    /// <summary>Stands for the volume's name in the URIs of the status.</summary>
    internal const string VolumePlaceholder = "{volume}";

    private static readonly OptionSpec<string> Socket = Option.Path(
        "socket", "", "Path of the Unix socket, made with mode 0600. Default: \"nbd.sock\" in the state directory.", ControlOptions.MaxSocketPathBytes);

    private static readonly OptionSpec<HostPort?> Tcp = Option.HostPort(
        "tcp", "", "Address and port on which NBD is also served over TCP. NBD has no authentication: other addresses than loopback give everybody who "
            + "reaches them every volume.", defaultPort: 10809, allowPortZero: true);

    private static readonly OptionSpec<string> Route = Option.Text("volumes", "volumes", "Route to the peer that serves volumes.", 1, 32);

    private static readonly OptionSpec<IReadOnlyList<string>> ReadOnly = Option.List("read-only", "", "Volumes that are exported for reading only.");

    private static readonly OptionSpec<string> DefaultExport = Option.Text("default-export", "", "Volume that a client gets who names none; empty for none.", 0, 89);

    private static readonly OptionSpec<long> MaxConnections = Option.Integer("max-connections", "2048", 1, 65536, "Connections at once; further ones are closed.");

    private static readonly OptionSpec<long> MaxInFlight = Option.Integer(
        "max-in-flight", "128", 1, 1024, "Requests of one connection that are under way; with so many it is not read.");

    private static readonly OptionSpec<TimeSpan> Deadline = Option.Duration(
        "deadline", "0s", TimeSpan.Zero, TimeSpan.FromDays(1),
        "After this time a request is answered EIO although its outcome is not known. 0: never; a client waits as long as the storage takes.");

    private static readonly OptionSpec<TimeSpan> Handshake = Option.Duration(
        "handshake-timeout", "10s", TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1), "What a client may take for its handshake.");

    private static readonly OptionSpec<TimeSpan> Stall = Option.Duration(
        "stall-timeout", "30s", TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1),
        "While others wait for memory: a connection that holds some, and neither sends its payload nor takes its replies for so long, is cut.");

    internal static PeerKind Nbd { get; } = new(
        "nbd", "Exports every volume over NBD.", null, 8192,
        [Socket, Tcp, Route, ReadOnly, DefaultExport, MaxConnections, MaxInFlight, Deadline, Handshake, Stall],
        (kind, section) =>
        {
            var peer = new NbdPeer(Read(kind, section));
            return new MadePeer(peer)
            {
                Pages = kind.ShareOf(section),
                AddMetrics = metrics => AddMetrics(metrics, peer),
                AddStatus = status =>
                {
                    status["uris"] = new JsonArray([.. Uris(section, VolumePlaceholder).Select(uri => (JsonNode)uri)]);
                    AddStatus(status, peer);
                },
            };
        })
    {
        Uses = Route,
        StateDefaults = [("socket", state => Path.Combine(state, "nbd.sock"))],
        UriOf = Uris,
    };

    private static NbdOptions Read(PeerKind kind, ConfigSection section)
    {
        if (kind.ShareOf(section) < NbdOptions.MinimumPages) throw section.Refuse(kind.Pages!, $"at least {NbdOptions.MinimumPages}, so that the largest piece fits");
        return new NbdOptions
        {
            SocketPath = section.Get(Socket) is { Length: > 0 } path ? path : null,
            TcpAddress = section.Get(Tcp) is { } address ? Resolve(section, address) : null,
            Route = section.Get(Route),
            ReadOnlyExports = [.. section.Get(ReadOnly)],
            DefaultExport = section.Get(DefaultExport),
            MaxConnections = (int)section.Get(MaxConnections),
            MaxInFlight = (int)section.Get(MaxInFlight),
            RequestDeadline = section.Get(Deadline),
            HandshakeTimeout = section.Get(Handshake),
            StallTimeout = section.Get(Stall),
            Pages = kind.ShareOf(section),
        };
    }

    private static IPEndPoint Resolve(ConfigSection section, HostPort address)
    {
        string host = address.Host == "localhost" ? "127.0.0.1" : address.Host;
        return IPAddress.TryParse(host, out var ip) ? new IPEndPoint(ip, address.Port) : throw section.Refuse(Tcp, "an IP address (or localhost) and a port");
    }

    private static IEnumerable<string> Uris(ConfigSection section, string volume)
    {
        if (section.Get(Socket) is { Length: > 0 } path) yield return $"nbd+unix:///{volume}?socket={Uri.EscapeDataString(path).Replace("%2F", "/", StringComparison.Ordinal)}";
        if (section.Get(Tcp) is { Port: > 0 } address) yield return $"nbd://{address}/{volume}";
    }

    private static void AddMetrics(MetricsRegistry metrics, NbdPeer peer)
    {
        void Count(string name, string unit, string description, Func<GatewayStatistics, long> read) =>
            metrics.Counter(name, unit, description, () => peer.Statistics is { } s ? read(s) : 0);

        Count("nbd.reads", "{request}", "READ requests of clients.", s => Volatile.Read(ref s.Reads));
        Count("nbd.writes", "{request}", "WRITE requests of clients.", s => Volatile.Read(ref s.Writes));
        Count("nbd.flushes", "{request}", "FLUSH requests of clients.", s => Volatile.Read(ref s.Flushes));
        Count("nbd.others", "{request}", "Other requests of clients.", s => Volatile.Read(ref s.Others));
        Count("nbd.read", "By", "Bytes asked for by READ.", s => Volatile.Read(ref s.BytesRead));
        Count("nbd.written", "By", "Bytes of WRITE payload.", s => Volatile.Read(ref s.BytesWritten));
        Count("nbd.errors", "{request}", "Requests answered with an error.", s => Volatile.Read(ref s.Errors));
        Count("nbd.expired", "{request}", "Requests whose deadline passed.", s => Volatile.Read(ref s.Expired));
        Count("nbd.waits", "{time}", "Times that a request waited for a slot or pages.", s => Volatile.Read(ref s.Waits));
        Count("nbd.accepted", "{connection}", "Clients accepted.", s => Volatile.Read(ref s.Accepted));
        Count("nbd.refused", "{connection}", "Clients refused because there were too many.", s => Volatile.Read(ref s.Refused));
        Count("nbd.cut", "{connection}", "Clients cut: garbage, too slow, or stalled.", s => Volatile.Read(ref s.Cut));
        metrics.Gauge("nbd.connections", "{connection}", "Clients connected.", () => peer.Statistics is { } s ? Volatile.Read(ref s.Connections) : 0);
        metrics.Gauge("nbd.in.flight", "{request}", "Requests of clients under way.", () => peer.Statistics is { } s ? Volatile.Read(ref s.InFlight) : 0);
    }

    private static void AddStatus(JsonObject status, NbdPeer peer)
    {
        if (peer.Statistics is not { } s) return;
        status["connections"] = Volatile.Read(ref s.Connections);
        status["clientRequests"] = Volatile.Read(ref s.Reads) + Volatile.Read(ref s.Writes) + Volatile.Read(ref s.Flushes) + Volatile.Read(ref s.Others);
        status["clientErrors"] = Volatile.Read(ref s.Errors);
        status["tcpPort"] = peer.TcpPort;
    }
}
