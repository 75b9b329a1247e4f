using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>
/// Damage of the page table, which is as outside as all that is in shared memory. A stable bucket is read again from the blocker. A
/// dirty one is lost: reads of it get EIO, FLUSH of its flow fails, and its page stays, marked, until all of the bucket is written
/// anew or discarded, or an operator discards it.
/// </summary>
internal sealed unsafe partial class Store
{
    private readonly Dictionary<(uint Entry, int Bucket), uint> _lost = [];

    /// <summary>Entries of the page table that were found damaged since the start.</summary>
    internal long DamagedPages { get; private set; }
    /// <summary>Entries of the object table that were found damaged since the start.</summary>
    internal long DamagedObjects { get; set; }
    /// <summary>Dirty pages that are kept, and neither read nor destaged.</summary>
    internal long LostPages { get; private set; }

    /// <summary>True if the bucket was dirty when its page was lost: what the blocker has is older.</summary>
    internal bool IsLost(CachedObject of, int bucket) => of.LostPages != 0 && _lost.ContainsKey((of.Entry, bucket));

    /// <summary>True if one of the buckets that the bytes [start, end) touch is lost.</summary>
    internal bool IsLost(CachedObject of, ulong start, ulong end)
    {
        if (of.LostPages == 0) return false;
        for (int bucket = (int)(start >> 12); bucket < (int)((end + 4095) >> 12); bucket++)
            if (IsLost(of, bucket)) return true;
        return false;
    }

    /// <summary>A dirty page that no bucket can be told of (after a restart). It is kept; no FLUSH of its flow can be true.</summary>
    internal void Quarantine(uint page, uint flow)
    {
        var entry = _segment.PageAt(page);
        // The number that it has may become another object's.
        Shared.Store(ref entry->Object, 0u);
        Mark(entry);
        CountLost(FlowOf(flow), 1);
    }

    /// <summary>A page that is quarantined since an earlier life; superseded if its bucket has a page, which then came later.</summary>
    internal void Quarantined(CachedObject of, int bucket, uint page)
    {
        if (Buckets.Find(of.Entry, (ushort)bucket, false) != 0 || !_lost.TryAdd((of.Entry, bucket), page)) _port.Limbo.Retire(page);
        else CountLost(of, 1);
    }

    /// <summary>
    /// The entry of a bucket's page is not as we left it: another word, flow, bucket, or impossible masks. <paramref name="page"/> is 0 if the
    /// index has forgotten it already.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void Lose(CachedObject of, int bucket, uint page)
    {
        if (page != 0) Buckets.Remove(of.Entry, (ushort)bucket);
        else page = Buckets.Lost;
        Buckets.Lost = 0;
        DamagedPages++;
        of.Pages--;
        of.Flow.Pages--;
        of.Flow.Share.Pages--;
        bool dirty = of.ClearDirty(bucket);
        var entry = page == 0 ? null : _segment.PageAt(page);
        // Where the word says another's, the entry is not ours to write.
        bool ours = entry != null && (uint)entry->Word == _cachedHere;
        if (!dirty)
        {
            if (of.Fills != null) MoveFills(of, bucket, 1);
            if (ours) _port.Limbo.Retire(page);
            _context.Log.LogWarning("page table damaged: page {Page}, bucket {Bucket} of object {Object}; it was not dirty and is read again", page, bucket, NameOf(of));
            return;
        }

        CountDirty(of.Flow, -1);
        CountLost(of, 1);
        of.Flow.DestageErrors++;
        _lost[(of.Entry, bucket)] = page;
        if (ours)
        {
            // Also a successor must know whose it was, and not believe what else it may say.
            Shared.Store(ref entry->Object, of.Entry);
            Shared.Store(ref entry->Bucket, (ushort)bucket);
            Shared.Store(ref entry->Flow, (ushort)of.Flow.Index);
            Mark(entry);
        }

        _context.Log.LogError(
            "page table damaged: page {Page}, bucket {Bucket} of object {Object}, flow {Flow}, was DIRTY: reads of it and FLUSHes of the flow fail with EIO until it is written anew or discarded; the page is kept (`segment fsck`)",
            page, bucket, NameOf(of), of.Flow.Index);
    }

    /// <summary>All of a lost bucket was written anew, or is gone by request: what is lost is not missed any more.</summary>
    private void Recover(CachedObject of, int bucket)
    {
        if (!_lost.Remove((of.Entry, bucket), out uint page)) return;
        CountLost(of, -1);
        var entry = page == 0 ? null : _segment.PageAt(page);
        if (entry != null && (uint)entry->Word == _cachedHere && entry->Object == of.Entry && entry->Bucket == bucket && entry->Masks >> 24 == SectorMasks.Quarantined)
            _port.Limbo.Retire(page);
    }

    /// <summary>The object whose bucket a page is, as both the page's entry and the index say; null if they do not agree.</summary>
    private CachedObject? OwnerOf(uint page, out int bucket)
    {
        var entry = _segment.PageAt(page);
        uint index = entry->Object;
        bucket = entry->Bucket;
        if (bucket >= CachedObject.MaxBuckets || FindByEntry(index) is not { } of) return null;
        return Lookup(of, bucket, false, out _, out _) == page ? of : null;
    }

    private void OnStray(uint page)
    {
        DamagedPages++;
        _context.Log.LogError("page table damaged: page {Page} does not say any more which bucket it is", page);
    }

    private static void Mark(PageEntry* entry) => Shared.Store(ref entry->Masks, SectorMasks.From(entry->Masks).InQuarantine().Packed);

    private void CountLost(CachedObject of, int change)
    {
        of.LostPages += change;
        CountLost(of.Flow, change);
    }
}
