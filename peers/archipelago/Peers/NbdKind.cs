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

    internal static PeerKind Nbd { get; } = new(
        "nbd", "Exports every volume over NBD.", null, null, NbdOptions.All,
        (_, section) =>
        {
            var options = NbdOptions.From(section);
            var peer = new NbdPeer(options);
            return new MadePeer(peer)
            {
                Pages = options.Pages,
                Endpoints = peer,
                AddMetrics = metrics => AddMetrics(metrics, peer),
                AddStatus = status =>
                {
                    status["uris"] = new JsonArray([.. Uris(section, VolumePlaceholder).Select(uri => (JsonNode)uri)]);
                    AddStatus(status, peer);
                },
            };
        })
    {
        Uses = [NbdOptions.VolumesOption],
        StateDefaults = [("socket", state => Path.Combine(state, "nbd.sock"))],
        UriOf = Uris,
    };

    private static IEnumerable<string> Uris(ConfigSection section, string volume)
    {
        if (section.Get(NbdOptions.SocketOption) is { Length: > 0 } path) yield return $"nbd+unix:///{volume}?socket={Uri.EscapeDataString(path).Replace("%2F", "/", StringComparison.Ordinal)}";
        if (section.Get(NbdOptions.TcpOption) is { Port: > 0 } address) yield return $"nbd://{address}/{volume}";
    }

    private static void AddMetrics(MetricsRegistry metrics, NbdPeer peer)
    {
        void Count(string name, string unit, string description, Func<GatewayStatistics, long> read, params KeyValuePair<string, object?>[] labels) =>
            metrics.Counter(name, unit, description, () => peer.Statistics is { } s ? read(s) : 0, labels);

        void Op(string op, Func<GatewayStatistics, long> requests, Func<GatewayStatistics, long>? bytes = null)
        {
            var label = new KeyValuePair<string, object?>("op", op);
            Count("nbd.requests", "{request}", "Requests of clients.", requests, label);
            if (bytes != null) Count("nbd.bytes", "By", "Bytes that requests of clients ask for.", bytes, label);
        }

        Op("read", s => Volatile.Read(ref s.Reads), s => Volatile.Read(ref s.BytesRead));
        Op("write", s => Volatile.Read(ref s.Writes), s => Volatile.Read(ref s.BytesWritten));
        Op("flush", s => Volatile.Read(ref s.Flushes));
        Op("discard", s => Volatile.Read(ref s.Discards), s => Volatile.Read(ref s.BytesDiscarded));
        Op("writezeroes", s => Volatile.Read(ref s.Zeroes), s => Volatile.Read(ref s.BytesZeroed));
        Op("other", s => Volatile.Read(ref s.Others));
        Count("nbd.errors", "{request}", "Requests answered with an error.", s => Volatile.Read(ref s.Errors));
        Count("nbd.expired", "{request}", "Requests whose deadline passed.", s => Volatile.Read(ref s.Expired));
        Count("nbd.held.up", "{time}", "Times that a request waited for a change whose deadline had passed.", s => Volatile.Read(ref s.HeldUp));
        Count("nbd.waits", "{time}", "Times that a request waited for a slot or pages.", s => Volatile.Read(ref s.Waits));
        Count("nbd.accepted", "{connection}", "Clients accepted.", s => Volatile.Read(ref s.Accepted));
        Count("nbd.refused", "{connection}", "Clients refused because there were too many.", s => Volatile.Read(ref s.Refused));
        Count("nbd.protocol.errors", "{connection}", "Clients cut because what they said is no NBD.", s => Volatile.Read(ref s.ProtocolErrors));
        Count("nbd.lost", "{connection}", "Clients that went away without saying so.", s => Volatile.Read(ref s.Lost));
        Count("nbd.cut", "{connection}", "Clients cut: garbage, too slow, or stalled.", s => Volatile.Read(ref s.Cut));
        metrics.Gauge("nbd.connections", "{connection}", "Clients connected.", () => peer.Statistics is { } s ? Volatile.Read(ref s.Connections) : 0);
        metrics.Gauge("nbd.in.flight", "{request}", "Requests of clients under way.", () => peer.Statistics is { } s ? Volatile.Read(ref s.InFlight) : 0);
    }

    private static void AddStatus(JsonObject status, NbdPeer peer)
    {
        if (peer.Statistics is not { } s) return;
        status["connections"] = Volatile.Read(ref s.Connections);
        status["clientRequests"] = Volatile.Read(ref s.Reads) + Volatile.Read(ref s.Writes) + Volatile.Read(ref s.Flushes) + Volatile.Read(ref s.Discards)
            + Volatile.Read(ref s.Zeroes) + Volatile.Read(ref s.Others);
        status["clientErrors"] = Volatile.Read(ref s.Errors);
        status["tcpPort"] = peer.TcpPort;
    }
}
