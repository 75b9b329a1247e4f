namespace Archipelago.Xseg.Recovery;

/// <summary>What the successor of a dead peer found and did. Immutable once bound.</summary>
public sealed class RecoveryReport
{
    /// <summary>A first life, or one after an orderly end.</summary>
    public static RecoveryReport Nothing { get; } = new();

    /// <summary>True if a process died with this port.</summary>
    public bool HadPredecessor { get; internal set; }
    /// <summary>Requests that the dead one had issued and that were still queued: revoked.</summary>
    public int Revoked { get; internal set; }
    /// <summary>Requests that the dead one had issued and that others ran: waited for.</summary>
    public int Awaited => AwaitedSlots.Count;
    /// <summary>Requests that it had accepted from living peers: replayed in this order.</summary>
    public IReadOnlyList<(uint Slot, uint Generation)> Replays => ReplayList;
    /// <summary>Requests that it had accepted from peers that are dead too: dropped.</summary>
    public int Orphans { get; internal set; }
    /// <summary>Requests failed with EIO because three holders died with them, as text.</summary>
    public IReadOnlyList<string> Kept => KeptList;
    /// <summary>Slots that no life of the port can have left so, by their words or above the high-water mark: reset.</summary>
    public int SlotsReset { get; internal set; }
    /// <summary>Pages of its requests that were freed.</summary>
    public int PagesFreed { get; internal set; }
    /// <summary>Pages that it had cached.</summary>
    public int PagesCached { get; internal set; }
    /// <summary>Cached pages whose data the blocker does not have, or has not made stable.</summary>
    public int PagesDirty { get; internal set; }

    /// <summary>Pages of its share that the segment does not have any more: entries of the page table are damaged (<c>segment fsck</c>).</summary>
    public int PagesMissing { get; internal set; }

    internal HashSet<(uint Slot, uint Generation)> AwaitedSlots { get; init; } = [];
    internal List<(uint Slot, uint Generation)> ReplayList { get; } = [];
    internal List<(uint Slot, uint Generation)> Unannounced { get; } = [];
    internal List<string> KeptList { get; } = [];
    internal List<uint> Limbo { get; } = [];
    internal int PagesInUse => PagesCached + Limbo.Count;

    /// <inheritdoc/>
    public override string ToString() => HadPredecessor
        ? $"predecessor died: {Replays.Count} requests to replay, {Revoked} revoked, {Awaited} waited for, {Orphans} dropped, {Kept.Count} failed after three deaths; {PagesCached} pages cached ({PagesDirty} dirty), {PagesFreed} freed{(SlotsReset > 0 ? $", {SlotsReset} DAMAGED slots reset" : "")}{(PagesMissing > 0 ? $", {PagesMissing} pages of its share are MISSING (`segment fsck`)" : "")}"
        : "no predecessor died";
}
