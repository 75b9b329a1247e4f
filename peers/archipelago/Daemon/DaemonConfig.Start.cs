using System.Numerics;
using Archipelago.Cli.Peers;
using Archipelago.Runtime.Configuration;
using Archipelago.Vlmcd;
using Archipelago.Xseg;

namespace Archipelago.Cli.Daemon;

/// <summary>What a start needs of the configuration, and refuses of it: <c>config check</c> asks the same.</summary>
internal sealed partial class DaemonConfig
{
    private const long MostPages = 1 << 30;

    /// <summary>Makes the peers of a process, and reads what else it starts with; nothing is started.</summary>
    /// <exception cref="ConfigException">What no table can say: options contradict each other, or the machine does not have what they name.</exception>
    internal IReadOnlyList<(PeerKind Kind, MadePeer Made)> Prepare(string name, IReadOnlyList<PeerKind> kinds)
    {
        (PeerKind, MadePeer)[] made = [.. kinds.Select(kind => (kind, kind.Make(Config)))];
        _ = Control(name);
        _ = Metrics;
        _ = Log;
        if (Core >= 0 && !ReactorThread.CanPin(Core)) throw Config[Reactor].Refuse(ReactorCore, "-1, or a core that this machine has and this process may use (`nproc`, `taskset -p $$`)");
        // Here, where nothing is made yet, and once more by who makes it.
        if (!Xseg.Memory.Segment.Exists(SegmentPath)) _ = SegmentSizes(kinds);
        return made;
    }

    /// <summary>Sizes of a new segment that a process of these peers makes: with the shares of all peers of the configuration.</summary>
    /// <exception cref="ConfigException">They do not fit.</exception>
    internal SegmentOptions SegmentSizes(IReadOnlyList<PeerKind> hosted) =>
        SegmentSizes(Enabled.Concat(hosted).Distinct().Sum(kind => (long)kind.Make(Config).Pages) + (4 * OperatorPeer.Pages), hosted.Count);

    /// <summary>Sizes of a new segment for these shares of pages; its maker binds a port for each of its peers, and one of its own.</summary>
    /// <exception cref="ConfigException">They do not fit, or are none that a segment can have.</exception>
    internal SegmentOptions SegmentSizes(long shares, int peers)
    {
        var section = Config[Segment];
        long pages = section.Get(SegmentPages);
        if (pages != 0 && pages <= shares) throw section.Refuse(SegmentPages, $"more than {shares}, the shares of all peers, or 0");
        if (pages == 0) pages = Math.Max(64, shares + section.Get(SegmentSpare) + 1);
        if (pages > MostPages) throw section.Refuse(SegmentSpare, $"less: with the shares of all peers ({shares}) it makes {pages} pages, and a segment has at most {MostPages}");
        if (section.Get(SegmentPorts) <= peers) throw section.Refuse(SegmentPorts, $"at least {peers + 1}: one for each of {peers} peers, and one for their process");
        if (!BitOperations.IsPow2(section.Get(SegmentSlots))) throw section.Refuse(SegmentSlots, "a power of two");
        if (section.Get(SegmentObjects) is > 0 and < 64) throw section.Refuse(SegmentObjects, "at least 64, or 0");
        return new SegmentOptions
        {
            Pages = pages,
            Ports = (int)section.Get(SegmentPorts),
            SlotsPerPort = (int)section.Get(SegmentSlots),
            Flows = (int)section.Get(SegmentFlows),
            Objects = (int)section.Get(SegmentObjects),
            Routes = (int)section.Get(SegmentRoutes),
            Prefault = section.Get(SegmentPrefault),
        };
    }

    /// <summary>For a process that is the whole chain: a route that nobody serves would be waited for in vain.</summary>
    /// <exception cref="ConfigException">A peer uses such a route.</exception>
    internal void RefuseUnservedRoutes()
    {
        string[] served = [.. Enabled.Select(RouteOf).OfType<string>().Order(StringComparer.Ordinal)];
        foreach (var kind in Enabled)
        {
            if (kind.Uses.FirstOrDefault(uses => !served.Contains(Config[kind.Section].Get(uses))) is not { } unserved) continue;
            // Configurations of former builds have none.
            string missing = kind == ServiceKinds.Vlmcd && unserved == VlmcdOptions.MapsOption && !Enabled.Contains(ServiceKinds.Mapperd)
                ? "a section [mapperd] in this configuration (add that line, and options of [vlmcd] such as object-size to it): it keeps the maps of the volumes; or " : "";
            throw Config[kind.Section].Refuse(
                unserved, $"{missing}a route that a peer of this configuration serves ({(served.Length > 0 ? string.Join(", ", served) : "there is none")}), for `archipelago up`; only with `archipelago run` may another process serve it");
        }
    }

    private void RefuseSharedRoutes()
    {
        var servers = new Dictionary<string, PeerKind>(StringComparer.Ordinal);
        foreach (var kind in Enabled)
        {
            if (RouteOf(kind) is { } route && !servers.TryAdd(route, kind))
                throw Config[kind.Section].Refuse(kind.Serves!, $"a route that no other peer serves ([{servers[route].Name}] serves it; enabled = false in one of them)");
        }
    }
}
