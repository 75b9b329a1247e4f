using Archipelago.Radosd.Librados;

namespace Archipelago.Radosd;

/// <summary>One client instance at RADOS with all that the peer uses of it. Belongs to the reactor, but for
/// calls that block: these run on helper threads (counted by <see cref="BlockingCalls"/>).</summary>
internal sealed class RadosSession(RadosCluster cluster, CompletionQueue queue, RadosPool objects, string address)
{
    internal RadosCluster Cluster { get; } = cluster;
    internal CompletionQueue Queue { get; } = queue;
    internal RadosPool Objects { get; } = objects;
    /// <summary>Address of the instance, as the blocklist wants it.</summary>
    internal string Address { get; } = address;
    /// <summary>Found on the blocklist: nothing is submitted any more.</summary>
    internal bool IsFenced { get; set; }
    /// <summary>Helper threads that are in a call.</summary>
    internal int BlockingCalls { get; set; }
    /// <summary>Nothing uses it any more.</summary>
    internal bool IsIdle => Queue.InFlight == 0 && BlockingCalls == 0;
}
