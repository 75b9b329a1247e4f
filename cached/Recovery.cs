using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>
/// Rebuilds the cache from the segment after its process died: pages and objects are where they were; of two pages of one
/// bucket the one with the higher sequence counts (the dead one was about to retire the other). Dirty pages are destaged as any; those
/// of which the tables do not say whose they are stay where they are, see <see cref="Store.Quarantine"/>.
/// </summary>
internal sealed unsafe class Recovery(PeerContext context, Store store)
{
    /// <summary>No cache lives so long; the number after it must not wrap.</summary>
    private const ulong LastSequence = 1ul << 62;

    internal void Run()
    {
        var objects = new Dictionary<uint, CachedObject>();
        var table = store.Table;
        var entries = table.Recover();
        foreach (uint index in entries)
            if (table.TryRead(index, out var hash, out uint flow) && store.Find(hash) == null) objects.Add(index, store.Add(index, hash, flow));

        int pages = 0, older = 0, dropped = 0;
        var quarantined = new List<(CachedObject Of, int Bucket, uint Page)>();
        for (uint page = 1; page < context.Segment.PageCount; page++)
        {
            // One copy, checked, then used.
            var entry = *context.Segment.PageAt(page);
            var word = new PageWord(entry.Word);
            if (word.State != PageState.Cache || word.Owner != (uint)context.Port.Number) continue;
            var masks = SectorMasks.From(entry.Masks);
            bool named = objects.TryGetValue(entry.Object, out var of) && entry.Bucket < CachedObject.MaxBuckets && entry.Flow == (ushort)of.Flow.Index;
            if (named && masks.Mark == SectorMasks.Quarantined)
            {
                quarantined.Add((of!, entry.Bucket, page));
            }
            else if (named && Store.IsSound(entry.Masks) && entry.Sequence <= LastSequence)
            {
                pages++;
                store.Sequence = Math.Max(store.Sequence, entry.Sequence);
                if (!store.Recovered(of!, page, entry)) older++;
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
        foreach (uint index in entries)
            if (!objects.ContainsKey(index)) table.Remove(index);
        foreach (var of in objects.Values) store.Release(of);
        if (pages + dropped + store.LostPages == 0) return;
        context.Log.LogWarning("found {Pages} cached pages of {Objects} objects in the segment: {Dirty} dirty, {Written} written and perhaps not stable, {Older} superseded",
            pages - older, objects.Count, store.DirtyPages, store.WrittenPages, older);
        if (dropped > 0) context.Log.LogWarning("{Dropped} pages that the blocker has were dropped: their entries, or their objects', are damaged", dropped);
        if (store.LostPages > 0)
            context.Log.LogError(
                "{Lost} dirty pages are kept in quarantine: FLUSHes of their flows fail with EIO. Given up by name: `archipelago down --discard-dirty`, or `segment fsck --repair --discard-dirty` when nothing runs",
                store.LostPages);
    }
}
