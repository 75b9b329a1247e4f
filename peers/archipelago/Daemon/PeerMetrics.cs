using System.Text.Json.Nodes;
using Archipelago.Runtime.Metrics;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;

namespace Archipelago.Cli.Daemon;

/// <summary>What every hosted peer shows: as metrics, and in the status.</summary>
internal static class PeerMetrics
{
    private static readonly XsegOp[] Ops = [.. Enum.GetValues<XsegOp>().Where(op => (int)op < PortStatistics.Ops)];

    internal static void Add(MetricsRegistry metrics, string peer, PeerContext context)
    {
        var statistics = context.Statistics;
        var label = new KeyValuePair<string, object?>("peer", peer);
        foreach (var op in Ops)
        {
            int index = (int)op;
            var opLabel = new KeyValuePair<string, object?>("op", op.ToString().ToLowerInvariant());
            metrics.Counter("peer.requests", "{request}", "Requests answered that came over links.", () => Volatile.Read(ref statistics.Requests[index]), label, opLabel);
            metrics.Counter("peer.errors", "{request}", "Requests answered with an error.", () => Volatile.Read(ref statistics.Errors[index]), label, opLabel);
            metrics.Counter("peer.bytes", "By", "Bytes asked for by requests that were answered.", () => Volatile.Read(ref statistics.Bytes[index]), label, opLabel);
        }

        metrics.Gauge("peer.in.flight", "{request}", "Requests accepted and not yet answered.", () => Volatile.Read(ref statistics.InFlight), label);
        metrics.Gauge("peer.pages.free", "{page}", "Free pages of the peer's share.", () => context.Port.Pages.Count, label);
        metrics.Gauge("peer.pages.limbo", "{page}", "Pages that wait until no request can name them.", () => context.Port.Limbo.Count, label);
        metrics.Gauge("peer.slots.free", "{slot}", "Free request slots of the peer.", () => context.Port.FreeSlots, label);
        metrics.Latency("peer.latency", "Time from acceptance to answer, one request of 64.", statistics.Latency, label);
    }

    internal static JsonObject Status(PeerContext context, string? serves)
    {
        var statistics = context.Statistics;
        var latency = statistics.Latency.Snapshot();
        var ops = new JsonObject();
        foreach (var op in Ops)
        {
            long requests = Volatile.Read(ref statistics.Requests[(int)op]);
            if (requests == 0) continue;
            ops[op.ToString().ToLowerInvariant()] = new JsonObject
            {
                ["requests"] = requests,
                ["errors"] = Volatile.Read(ref statistics.Errors[(int)op]),
                ["bytes"] = Volatile.Read(ref statistics.Bytes[(int)op]),
            };
        }

        return new JsonObject
        {
            ["port"] = context.Port.Number,
            ["serves"] = serves,
            ["inFlight"] = Volatile.Read(ref statistics.InFlight),
            ["pagesFree"] = context.Port.Pages.Count,
            ["latencyP50"] = latency.Percentile(50),
            ["latencyP99"] = latency.Percentile(99),
            ["ops"] = ops,
        };
    }
}
