namespace Archipelago.Cached;

/// <summary>What the cache holds and has done, for metrics: any thread may read it, each figure a moment old. Counts are since the start.</summary>
public sealed class CacheFigures
{
    private readonly CachedPeer _peer;

    internal CacheFigures(CachedPeer peer) => _peer = peer;

    /// <summary>READs answered from the cache.</summary>
    public long Hits => Sum(static flow => Volatile.Read(ref flow.Hits));
    /// <summary>READs that had to ask the blocker.</summary>
    public long Misses => Sum(static flow => Volatile.Read(ref flow.Misses));
    /// <summary>WRITEs that the cache took.</summary>
    public long Writes => Sum(static flow => Volatile.Read(ref flow.Writes));
    /// <summary>Pages given up for others.</summary>
    public long Evictions => _peer.Store?.Evictions ?? 0;
    /// <summary>Bytes cached.</summary>
    public long CachedBytes => (_peer.Store?.Buckets.Count ?? 0L) << 12;
    /// <summary>Bytes that the blocker does not have.</summary>
    public long DirtyBytes => (_peer.Store?.DirtyPages ?? 0) << 12;
    /// <summary>Bytes that the blocker has, perhaps not stably.</summary>
    public long WrittenBytes => (_peer.Store?.WrittenPages ?? 0) << 12;
    /// <summary>Dirty bytes whose entries are damaged: neither read nor destaged.</summary>
    public long QuarantinedBytes => (_peer.Store?.LostPages ?? 0) << 12;
    /// <summary>Dirty bytes that INVALIDATE has forgotten.</summary>
    public long InvalidatedDirtyBytes => _peer.Invalidation?.DirtyBytes ?? 0;
    /// <summary>Writes to the blocker.</summary>
    public long DestageWrites => _peer.Destager?.Writes ?? 0;
    /// <summary>Bytes that they carried.</summary>
    public long DestagedBytes => (_peer.Destager?.PagesWritten ?? 0) << 12;
    /// <summary>Those that failed.</summary>
    public long DestageErrors => _peer.Destager?.Failures ?? 0;
    /// <summary>Those under way.</summary>
    public long DestageInFlight => _peer.Destager?.WritesInFlight ?? 0;
    /// <summary>Flows whose destaging fails: they write through until it succeeds.</summary>
    public long FailingFlows => Sum(static flow => Volatile.Read(ref flow.DestageError) != 0 ? 1 : 0);

    private long Sum(Func<FlowState, long> figure)
    {
        long sum = 0;
        // By index: flows are only ever added, by the reactor.
        if (_peer.Store?.Flows is { } flows)
            for (int i = 0; i < flows.Count; i++) sum += flows[i] is { } flow ? figure(flow) : 0;
        return sum;
    }
}
