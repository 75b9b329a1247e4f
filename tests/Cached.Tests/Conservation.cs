using Archipelago.Xseg.Layout;

namespace Archipelago.Cached.Tests;

/// <summary>What must hold whenever nothing is under way: the cache's counters say what the page table says, and no page is lost.</summary>
internal static unsafe class Conservation
{
    internal static void Check(Rig rig)
    {
        var (segment, store, port) = (rig.ClientProcess.Segment, rig.Store, rig.Cached.Context.Port.Number);
        Assert.Equal(0, rig.Cached.Context.Statistics.InFlight);
        Assert.Equal(0, rig.Cached.Destager.WritesInFlight);
        int cached = 0, dirty = 0;
        var share = new long[segment.PortCount];
        long common = 0;
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var entry = segment.PageAt(page);
            var word = new PageWord(entry->Word);
            switch (word.State)
            {
                case PageState.Common:
                    common++;
                    continue;
                case PageState.Slot:
                    share[word.Owner >> segment.SlotShift]++;
                    continue;
                default:
                    share[word.Owner]++;
                    break;
            }

            if (word.State != PageState.Cache) continue;
            cached++;
            var masks = SectorMasks.From(entry->Masks);
            var of = store.FindByEntry(entry->Object);
            if (masks.Dirty != 0) dirty++;
            byte noted = 0;
            if (of != null && masks.Written != 0)
                foreach (var (extent, sectors) in of.Flow.Written)
                    if (extent == new Extent(page, word.Generation)) noted |= sectors;
            bool right = word.Owner == (uint)port && of != null && store.Buckets.Find(entry->Object, entry->Bucket, false) == page
                && of.Entry == entry->Object && of.Flow.Index == entry->Flow && masks.Valid != 0
                && (masks.Dirty & ~masks.Valid) == 0 && (masks.Written & ~masks.Valid) == 0
                && masks.Dirty != 0 == of.IsDirty(entry->Bucket) && (masks.Written & ~noted) == 0 && (masks.Written == 0 || of.Flow.Unstable);
            Assert.True(right, $"page {page} {word} bucket {entry->Bucket} of entry {entry->Object} ({(of == null ? "unknown" : "known")}), {masks}, noted as written {noted:x}");
        }

        Assert.Equal(cached, store.Buckets.Count);
        Assert.Equal(dirty, store.DirtyPages);
        Assert.Equal(cached, store.Objects.All().Sum(of => of.Pages));
        Assert.Equal(dirty, store.Objects.All().Sum(of => of.DirtyPages));
        Assert.Equal(cached, store.Flows.Sum(flow => flow.Pages));
        Assert.Equal(dirty, store.Flows.Sum(flow => flow.DirtyPages));
        Assert.Equal(store.WrittenPages, store.Flows.Sum(flow => flow.Written.Count));
        foreach (var of in store.Objects.All())
        {
            Assert.False(of.IsBusy, "an object is in use while nothing is under way");
            Assert.True(of.Pages > 0, "an object without pages was not given back");
            Assert.Equal(of.DirtyPages > 0, of.Listed && of.DirtyPages > 0);
        }

        int named = 0;
        for (uint index = 1; index < (uint)segment.ObjectCount; index++)
            if ((byte)segment.ObjectAt(index)->Word != 0) named++;
        Assert.Equal(store.Objects.Count, named);
        Assert.Equal(segment.PageAt(0)->Word, new PageWord(PageState.Reserved, 0, 0).Value);
        for (int i = 0; i < segment.PortCount; i++)
            Assert.Equal(segment.PortAt(i)->State == (uint)PortState.Bound ? segment.PortAt(i)->PageShare : 0, share[i]);
        // The index and the page entry stay within the budget of the design.
        Assert.True(store.Buckets.Bytes <= 16L * segment.PortAt(port)->PageShare, $"{store.Buckets.Bytes} bytes of index");
        Assert.True(sizeof(PageEntry) <= 32);
    }
}
