using Archipelago.Cached;
using Archipelago.Runtime.Metrics;
using Archipelago.Vlmcd;
using Archipelago.Xseg.Memory;

namespace Archipelago.Cli.Peers;

/// <summary>The peers between gateway and blocker.</summary>
internal static class ServiceKinds
{
    internal static PeerKind Cached { get; } = new(
        "cached", "The cache in RAM.",
        "cache", null, CachedOptions.All,
        (_, section) =>
        {
            var options = CachedOptions.From(section);
            var peer = new CachedPeer(options);
            return new MadePeer(peer) { Pages = options.Pages, KeepsCachePages = true, Endpoints = peer };
        })
    {
        Uses = CachedOptions.BlocksOption,
        Store = (_, section) => new StoreClaim("", $"route '{section.Get(CachedOptions.BlocksOption)}'"),
    };

    internal static PeerKind Vlmcd { get; } = new(
        "vlmcd", "Volumes: cuts each into objects and passes their requests on.",
        "volumes", VlmcdOptions.RecommendedPages, VlmcdOptions.All,
        (kind, section) =>
        {
            var peer = new VlmcdPeer(VlmcdOptions.From(section));
            return new MadePeer(peer) { Pages = kind.ShareOf(section), Endpoints = peer, AddMetrics = metrics => AddMetrics(metrics, peer.Statistics) };
        })
    {
        Uses = VlmcdOptions.BlocksOption,
    };

    private static void AddMetrics(MetricsRegistry metrics, VlmcdStatistics statistics)
    {
        metrics.Counter("vlmcd.requests", "{request}", "Data requests of volumes in use.", () => Volatile.Read(ref statistics.Requests));
        metrics.Counter("vlmcd.splits", "{request}", "Data requests that lie on more than one object.", () => Volatile.Read(ref statistics.Splits));
        metrics.Gauge("vlmcd.volumes", "{volume}", "Volumes in use.", () => Volatile.Read(ref statistics.Loaded));
    }
}
