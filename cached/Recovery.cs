using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>
/// Rebuilds the cache from the segment after its process died: pages and objects are where they were; of two pages of one
/// bucket the one with the higher sequence counts (the dead one was about to retire the other). Dirty pages are destaged as any; those
/// whose object's entry is damaged wait with it for a request that names the object, see <see cref="Store.Keep(Orphan)"/>; those
/// of which the tables do not say whose they are stay where they are, see <see cref="Store.Quarantine"/>.
/// </summary>
internal sealed unsafe class Recovery(PeerContext context, Store store)
{
    private readonly Dictionary<uint, CachedObject> _objects = [];
    private readonly Dictionary<uint, Orphan> _orphans = [];

    internal void Run()
    {
        var evidence = new EntryEvidence(context.Segment, context.Port.Number);
        var unused = SortEntries(evidence);
        int pages = 0, older = 0, dropped = 0;
        var quarantined = new List<(CachedObject Of, int Bucket, uint Page)>();
        foreach (uint page in evidence.Pages)
        {
            // One copy, checked, then used.
            var entry = *context.Segment.PageAt(page);
            var masks = SectorMasks.From(entry.Masks);
            bool named = _objects.TryGetValue(entry.Object, out var of) && entry.Bucket < CachedObject.MaxBuckets && entry.Flow == (ushort)of.Flow.Index;
            if (named && masks.Mark == SectorMasks.Quarantined)
            {
                quarantined.Add((of!, entry.Bucket, page));
            }
            else if (named && EntryEvidence.IsWhole(entry))
            {
                pages++;
                store.Sequence = Math.Max(store.Sequence, entry.Sequence);
                if (!store.Recovered(of!, page, entry)) older++;
            }
            else if (_orphans.TryGetValue(entry.Object, out var orphan) && entry.IsUnstable && EntryEvidence.IsEvidence(entry))
            {
                if (entry.Sequence <= EntryEvidence.LastSequence) store.Sequence = Math.Max(store.Sequence, entry.Sequence);
                orphan.Pages.Add((page, entry.Flow, masks.Dirty != 0));
            }
            else if (masks.Dirty != 0)
            {
                store.Quarantine(page, entry.Flow);
                if (masks.Mark == SectorMasks.Quarantined) continue;
                context.Log.LogError("page {Page} is dirty, but its entry or its object's is damaged: object entry {Object}, bucket {Bucket}, flow {Flow}, {Masks}; it is kept and not destaged",
                    page, entry.Object, entry.Bucket, entry.Flow, masks);
            }
            else
            {
                // The blocker has it.
                dropped++;
                context.Port.Limbo.Retire(page);
            }
        }

        foreach (var (of, bucket, page) in quarantined) store.Quarantined(of, bucket, page);
        foreach (uint index in unused) store.Table.Remove(index);
        foreach (var of in _objects.Values) store.Release(of);
        foreach (var orphan in _orphans.Values) Keep(orphan);
        if (pages + dropped + store.LostPages == 0) return;
        context.Log.LogWarning("found {Pages} cached pages of {Objects} objects in the segment: {Dirty} dirty, {Written} written and perhaps not stable, {Older} superseded",
            pages - older, _objects.Count, store.DirtyPages, store.WrittenPages, older);
        if (dropped > 0) context.Log.LogWarning("{Dropped} pages that the blocker has were dropped: their entries, or their objects', are damaged", dropped);
        if (store.LostPages > 0)
            context.Log.LogError(
                "{Lost} dirty pages are kept in quarantine: FLUSHes of their flows fail with EIO. Given up by name: `archipelago down --discard-dirty`, or `segment fsck --repair --discard-dirty` when nothing runs",
                store.LostPages);
    }

    /// <summary>Objects, and entries that are damaged and needed. Returns the entries that are neither, to be freed once no page names them.</summary>
    private List<uint> SortEntries(EntryEvidence evidence)
    {
        var unused = new List<uint>();
        // Those that are needed first: should two say the same name, the pages are theirs.
        foreach (uint index in store.Table.Recover().OrderByDescending(evidence.IsNeeded))
        {
            if (evidence.IsAnothers(index)) continue;
            bool sound = store.Table.TryRead(index, out var hash, out uint flow);
            if (evidence.IsNeeded(index) && !(sound && evidence.IsFlowSound(index))) _orphans.Add(index, new Orphan(index));
            else if (sound && store.Find(hash) == null) _objects.Add(index, store.Add(index, hash, flow));
            else unused.Add(index);
        }

        foreach (uint index in evidence.WithoutOwner(context.Port.Number)) _orphans.Add(index, new Orphan(index));
        return unused;
    }

    private void Keep(Orphan orphan)
    {
        store.Keep(orphan);
        context.Log.LogError("the object table's entry {Entry} is damaged: its {Pages} pages, which the blocker may not have, are kept, and are neither read nor destaged until a request names the object",
            orphan.Entry, orphan.Pages.Count);
    }
}
