using Archipelago.Xseg.Layout;

namespace Archipelago.Cached;

/// <summary>What the cache keeps per flow beside the flow table: its dirty objects in the order of their age. One reactor.</summary>
internal sealed class FlowState(uint index)
{
    internal readonly uint Index = index;
    /// <summary>Sectors that are in the blocker but perhaps not stable, in the order in which they got there.</summary>
    internal readonly Queue<(Extent Page, byte Sectors)> Written = new();
    /// <summary>Entries taken from <see cref="Written"/> since the start.</summary>
    internal long WrittenTaken;
    /// <summary>Entries of <see cref="Written"/> before this number may be of pages that were made dirty, and written, once more since.</summary>
    internal long WrittenAgain;
    /// <summary>Writes that reached the blocker without being stable there.</summary>
    internal long Noted;
    /// <summary>FLUSHes that the blocker failed: what was in flight then is not known to be there.</summary>
    internal long FlushFailures;
    /// <summary>Changes that went around the cache without being stable in the blocker, and how many of the first of them are, or are known to be lost.</summary>
    internal long Around, AroundSettled;
    /// <summary>Times that such changes may have been lost, and how many of these a user's FLUSH has told.</summary>
    internal long Losses, LossesTold;
    /// <summary>Writes that wait for room are served in their order: number of the next one to come, and of the one whose turn it is.</summary>
    internal long NextTicket, Serving;
    /// <summary>Writes wait for room: later ones queue behind them.</summary>
    internal bool HasWaitingWrites => Serving != NextTicket;
    internal CachedObject? Oldest;
    internal CachedObject? Newest;
    internal int DirtyObjects;
    internal long DirtyPages;
    internal long Pages;
    /// <summary>Objects that are the flow's.</summary>
    internal int Objects;
    /// <summary>The share that its pages count in.</summary>
    internal PageShare Share = null!;
    /// <summary>Dirty pages that are lost, see <see cref="Store.Lose"/>: no FLUSH of the flow can be true while there are any.</summary>
    internal long LostPages;
    /// <summary>Times that dirty pages became the flow's that no write brought (<see cref="Store.Keep(Orphan)"/>): a FLUSH that runs must begin anew.</summary>
    internal long Mended;
    /// <summary>The blocker has something of this flow that no FLUSH has covered, or may have (after a restart).</summary>
    internal bool Unstable = true;
    internal bool Draining;
    /// <summary>Errno of the last blocker write if it failed, else 0.</summary>
    internal int DestageError;
    internal long Hits, Misses, Writes, DestageErrors;
    /// <summary>What of these was counted for earlier flows of this number.</summary>
    internal (long Hits, long Misses, long Writes, long DestageErrors) Before;

    /// <summary>
    /// The number is another flow's from now on, of which the blocker may have something. Counts only go up, and so does what answers that are under way are compared with.
    /// </summary>
    internal void Retire()
    {
        Before = (Hits, Misses, Writes, DestageErrors);
        (Unstable, DestageError, AroundSettled) = (true, 0, Around);
    }

    /// <summary>Appends an object that became dirty.</summary>
    internal void List(CachedObject dirty)
    {
        (dirty.Older, dirty.Newer) = (Newest, null);
        if (Newest != null) Newest.Newer = dirty;
        else Oldest = dirty;
        Newest = dirty;
        dirty.Listed = true;
        DirtyObjects++;
    }

    /// <summary>The dirty objects that no pass has taken yet, the oldest first.</summary>
    internal IEnumerable<CachedObject> Dirty()
    {
        for (var of = Oldest; of != null; of = of.Newer) yield return of;
    }

    /// <summary>Takes an object out.</summary>
    internal void Unlist(CachedObject clean)
    {
        if (!clean.Listed) return;
        if (clean.Older != null) clean.Older.Newer = clean.Newer;
        else Oldest = clean.Newer;
        if (clean.Newer != null) clean.Newer.Older = clean.Older;
        else Newest = clean.Older;
        (clean.Older, clean.Newer, clean.Listed) = (null, null, false);
        DirtyObjects--;
    }
}
