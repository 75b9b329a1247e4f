using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>
/// Rebuilds the cache from the segment after its process died: pages and objects are where they were; of two pages of one
/// bucket the one with the higher sequence counts (the dead one was about to retire the other). Dirty pages are destaged as any.
/// </summary>
internal sealed unsafe class Recovery(PeerContext context, Store store)
{
    internal void Run()
    {
        var objects = new Dictionary<uint, CachedObject>();
        var table = new ObjectTable(context.Segment, context.Port.Number);
        var entries = table.Recover();
        foreach (uint index in entries)
        {
            var entry = context.Segment.ObjectAt(index);
            objects.Add(index, store.Add(index, new Hash128(entry->HashLow, entry->HashHigh), Math.Min(entry->Flow, (uint)context.Segment.FlowCount - 1)));
        }

        int pages = 0, older = 0, nameless = 0;
        for (uint page = 1; page < context.Segment.PageCount; page++)
        {
            var entry = context.Segment.PageAt(page);
            var word = new PageWord(entry->Word);
            if (word.State != PageState.Cache || word.Owner != (uint)context.Port.Number) continue;
            store.Sequence = Math.Max(store.Sequence, entry->Sequence);
            if (!objects.TryGetValue(entry->Object, out var of) || entry->Bucket >= CachedObject.MaxBuckets)
            {
                nameless++;
                context.Port.Limbo.Retire(page);
                continue;
            }

            pages++;
            if (!store.Recovered(of, page)) older++;
        }

        foreach (var of in objects.Values) store.Release(of);
        if (pages + nameless == 0) return;
        context.Log.LogWarning("found {Pages} cached pages of {Objects} objects in the segment: {Dirty} dirty, {Written} written and perhaps not stable, {Older} superseded",
            pages - older, objects.Count, store.DirtyPages, store.WrittenPages, older);
        if (nameless > 0) context.Log.LogError("{Nameless} pages named no object of this cache and were dropped", nameless);
    }
}
