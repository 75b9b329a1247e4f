using Archipelago.Cached;
using Archipelago.Mapperd;
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
            return new MadePeer(peer) { Pages = options.Pages, KeepsCachePages = true, Endpoints = peer, AddMetrics = metrics => AddMetrics(metrics, peer.Figures) };
        })
    {
        Uses = [CachedOptions.BlocksOption],
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
        Uses = [VlmcdOptions.BlocksOption, VlmcdOptions.MapsOption],
    };

    internal static PeerKind Mapperd { get; } = new(
        "mapperd", "Maps of volumes, snapshots, clones, exclusive open.",
        "maps", MapperdOptions.RecommendedPages, MapperdOptions.All,
        (kind, section) =>
        {
            var peer = new MapperdPeer(MapperdOptions.From(section));
            return new MadePeer(peer) { Pages = kind.ShareOf(section), Endpoints = peer };
        })
    {
        Uses = [MapperdOptions.BlocksOption, MapperdOptions.ObjectsOption],
    };

    private static void AddMetrics(MetricsRegistry metrics, CacheFigures cache)
    {
        metrics.Counter("cache.hits", "{read}", "READs answered from the cache.", () => cache.Hits);
        metrics.Counter("cache.misses", "{read}", "READs that had to ask the blocker.", () => cache.Misses);
        metrics.Counter("cache.writes", "{write}", "WRITEs that the cache took.", () => cache.Writes);
        metrics.Counter("cache.evictions", "{page}", "Pages given up for others.", () => cache.Evictions);
        metrics.Gauge("cache.cached", "By", "Bytes cached.", () => cache.CachedBytes);
        metrics.Gauge("cache.dirty", "By", "Bytes that the blocker does not have.", () => cache.DirtyBytes);
        metrics.Gauge("cache.written", "By", "Bytes that the blocker has, perhaps not stably.", () => cache.WrittenBytes);
        metrics.Gauge("cache.quarantined", "By", "Dirty bytes whose table entries are damaged: neither read nor destaged.", () => cache.QuarantinedBytes);
        metrics.Counter("cache.invalidated", "By", "Dirty bytes that INVALIDATE has forgotten.", () => cache.InvalidatedDirtyBytes);
        metrics.Counter("cache.destage.writes", "{write}", "Writes to the blocker.", () => cache.DestageWrites);
        metrics.Counter("cache.destaged", "By", "Bytes that they carried.", () => cache.DestagedBytes);
        metrics.Counter("cache.destage.errors", "{write}", "Writes to the blocker that failed; their data stays dirty.", () => cache.DestageErrors);
        metrics.Gauge("cache.destage.inflight", "{write}", "Writes to the blocker that are under way.", () => cache.DestageInFlight);
        metrics.Gauge("cache.flows.failing", "{flow}", "Volumes whose destaging fails: they write through until it succeeds.", () => cache.FailingFlows);
    }

    private static void AddMetrics(MetricsRegistry metrics, VlmcdStatistics statistics)
    {
        metrics.Counter("vlmcd.requests", "{request}", "Data requests of volumes in use.", () => Volatile.Read(ref statistics.Requests));
        metrics.Counter("vlmcd.splits", "{request}", "Data requests that lie on more than one object.", () => Volatile.Read(ref statistics.Splits));
        metrics.Gauge("vlmcd.volumes", "{volume}", "Volumes in use.", () => Volatile.Read(ref statistics.Loaded));
    }
}
