using Archipelago.Xseg.Ports;

namespace Archipelago.Runtime.Routing;

/// <summary>
/// A handler of requests on one shard. It runs on one reactor thread and shares nothing. Where its requests come from, and where
/// the routes that it uses lead (a call into a peer of this reactor, or a ring to another process), it cannot tell.
/// </summary>
public abstract class Peer
{
    /// <summary>What the peer may use. Set before <see cref="StartAsync"/>.</summary>
    public PeerContext Context { get; internal set; } = null!;

    /// <summary>
    /// Prepares the peer, on its reactor, before the first request. What a dead predecessor left is in the context's port.
    /// Throws <see cref="ErrnoException"/> if the peer cannot serve.
    /// </summary>
    public virtual ValueTask StartAsync() => ValueTask.CompletedTask;

    /// <summary>
    /// Handles one request and returns its status: 0 or a positive errno. Serviced, result and extents are set before. The
    /// request's slot stays valid until the returned task is done. An op that the peer does not know is ENOTSUP. Exceptions are
    /// our own faults and end the process: bad requests get a status.
    /// </summary>
    public abstract ValueTask<int> HandleAsync(Request request);

    /// <summary>
    /// Brings the peer to rest before an orderly end: destage, flush, close. No new requests arrive once all upstream peers
    /// have stopped. Throws <see cref="ErrnoException"/> if that cannot be done without losing data.
    /// </summary>
    public virtual ValueTask StopAsync() => ValueTask.CompletedTask;
}
