using Archipelago.Experiments.Processes;
using Archipelago.Xseg;

namespace Archipelago.Experiments.Experiments.Volumes;

/// <summary>A store that outlives the chains over it, so that each run can have a chain of its own, and an empty cache.</summary>
/// <param name="Name">Name of its blocker, and of its side in a comparison.</param>
/// <param name="Options">Settings of the blocker.</param>
internal sealed record Store(string Name, string[] Options)
{
    internal static readonly TimeSpan Spin = TimeSpan.FromMicroseconds(50);

    internal static Store Filed(string directory) => new("filed", [$"filed.directory={directory}"]);

    internal static Store Radosd(RadosCluster cluster, string space) => new(
        "radosd", [$"radosd.ceph-conf={cluster.Conf}", $"radosd.pool={RadosCluster.Pool}", $"radosd.namespace={space}", $"radosd.state={cluster.DirectoryPath}/{space}.instance"]);

    /// <summary>Starts a chain over the store, with a cache of 1 GiB; pinned to nothing, as the store's own processes are.</summary>
    internal Chain Start(string peers = "cached,mapperd,vlmcd", params IEnumerable<string> settings) =>
        new(new SegmentOptions { Pages = (1 << 18) + 65_536 }, $"{Name},{peers}", -1, Spin, [.. Options, "cached.size=1G", "cached.policy=writeback", .. settings]);

    /// <summary>Makes a volume, writes its first <paramref name="filled"/> bytes, and snapshots it as "s".</summary>
    internal static void MakeImage(Daemon server, string name, long bytes, long filled)
    {
        server.Order($"call create {name} - {bytes}");
        server.Order($"open {name}");
        server.Order($"fill {name} {filled}");
        server.Order($"call snapshot {name} s 0");
        server.Order($"close {name}");
    }

    /// <summary>A fresh process has compiled nothing yet: a life of a small clone, not measured.</summary>
    internal static void Rehearse(Daemon server, int objects)
    {
        for (int i = 0; i < 3; i++)
        {
            server.Order("call clone rehearsal rehearsed@s 0");
            server.Order("open rehearsal");
            server.Order($"touch rehearsal 4096 {4 << 20} {objects}");
            server.Order($"read rehearsal {objects * (4L << 20)}");
            server.Order("call snapshot rehearsal t 0");
            server.Order($"touch rehearsal 0 {4 << 20} 1");
            server.Order("close rehearsal");
            server.Order("call delete rehearsal@t - 0");
            server.Order("call delete rehearsal - 0");
            server.Order("rest");
        }
    }

    /// <summary>What <see cref="Rehearse"/> clones.</summary>
    internal static void MakeRehearsed(Daemon server, int objects) => MakeImage(server, "rehearsed", objects * (4L << 20), objects * (4L << 20));
}
