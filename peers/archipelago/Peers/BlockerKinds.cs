using Archipelago.Filed;
using Archipelago.Memd;
using Archipelago.Radosd;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Metrics;
using Archipelago.Xseg.Memory;

namespace Archipelago.Cli.Peers;

/// <summary>The blockers.</summary>
internal static class BlockerKinds
{
    private const int Pages = 4096;

    // The row of the peer itself is required; here a default follows from the state directory.
    private static readonly OptionSpec<string> FiledDirectory = Option.Path(
        "directory", "", "Directory that holds the objects; made with mode 0700 if it does not exist. Default: \"objects\" in the state directory.");

    internal static PeerKind Memd { get; } = new(
        "memd", "Objects in RAM, with programmable latency and faults: for tests and benchmarks. Nothing survives the process.",
        "blocks", Pages, MemdOptions.All,
        (kind, section) =>
        {
            var peer = new MemdPeer(MemdOptions.From(section), kind.Name);
            return new MadePeer(peer) { Pages = kind.ShareOf(section), Endpoints = peer };
        })
    {
        Store = (kind, section) => new StoreClaim(section.Get(kind.Serves!), "memd"),
    };

    internal static PeerKind Filed { get; } = new(
        "filed", "Objects as files below a directory.",
        "blocks", Pages, [FiledDirectory, .. FiledOptions.All.Where(o => o != FiledOptions.DirectoryOption)],
        (kind, section) => new MadePeer(new FiledPeer(new FiledOptions
        {
            Directory = section.Get(FiledDirectory),
            Threads = (int)section.Get(FiledOptions.ThreadsOption),
            Direct = section.Get(FiledOptions.DirectOption),
            OpenFiles = (int)section.Get(FiledOptions.OpenFilesOption),
            ReadAtOnce = section.Get(FiledOptions.ReadAtOnceOption),
            Shared = section.Get(FiledOptions.SharedOption),
        }))
        { Pages = kind.ShareOf(section) })
    {
        StateDefaults = [("directory", state => Path.Combine(state, "objects"))],
        Store = (kind, section) => new StoreClaim(section.Get(kind.Serves!), StoreNames.Directory(section.Get(FiledDirectory))),
    };

    internal static PeerKind Radosd { get; } = new(
        "radosd", "Objects in a RADOS pool.",
        "blocks", Pages, RadosdOptions.Section.Options,
        (kind, section) =>
        {
            var peer = new RadosdPeer(RadosdOptions.From(section));
            return new MadePeer(peer)
            {
                Pages = kind.ShareOf(section),
                AddMetrics = metrics => AddMetrics(metrics, peer.Rados),
                AddStatus = status =>
                {
                    status["connected"] = Volatile.Read(ref peer.Rados.Connected) != 0;
                    status["radosInFlight"] = Volatile.Read(ref peer.Rados.InFlight);
                    status["radosErrors"] = Volatile.Read(ref peer.Rados.Errors);
                },
            };
        })
    {
        StateDefaults = [("state", state => Path.Combine(state, "radosd.instance"))],
        Store = (kind, section) => new StoreClaim(section.Get(kind.Serves!), StoreNames.Pool(RadosdOptions.From(section))),
    };

    private static void AddMetrics(MetricsRegistry metrics, RadosdStatistics rados)
    {
        metrics.Counter("radosd.operations", "{operation}", "RADOS operations that ended.", () => Volatile.Read(ref rados.Operations));
        metrics.Counter("radosd.read", "By", "Payload bytes read.", () => Volatile.Read(ref rados.BytesRead));
        metrics.Counter("radosd.written", "By", "Payload bytes written.", () => Volatile.Read(ref rados.BytesWritten));
        metrics.Counter("radosd.errors", "{operation}", "RADOS operations that ended with an error other than ENOENT.", () => Volatile.Read(ref rados.Errors));
        metrics.Counter("radosd.waits", "{operation}", "Operations that had to wait for room.", () => Volatile.Read(ref rados.Waits));
        metrics.Counter("radosd.fenced", "{time}", "Times that this peer found its client instance blocklisted.", () => Volatile.Read(ref rados.TimesFenced));
        metrics.Gauge("radosd.in.flight", "{operation}", "RADOS operations in flight.", () => Volatile.Read(ref rados.InFlight));
        metrics.Gauge("radosd.connected", null, "1 while connected.", () => Volatile.Read(ref rados.Connected));
    }
}
