using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Recovery;

/// <summary>Pages: each has one owner that can give it back.</summary>
internal sealed unsafe partial class FsckScan
{
    private const int BucketsPerObject = RequestSlot.MaxData / 4096;

    private readonly Dictionary<uint, uint> _namedBy = [];
    private readonly Dictionary<(uint Object, ushort Bucket), (uint Page, ulong Sequence)> _buckets = [];

    private void CheckPages()
    {
        for (uint number = 0; number < segment.SlotCount; number++)
            if ((SlotState)(byte)Volatile.Read(ref segment.SlotAt(number)->Word) != SlotState.Free) CheckExtents(number);

        for (uint page = 0; page < segment.PageCount; page++)
        {
            var word = new PageWord(Volatile.Read(ref segment.PageAt(page)->Word));
            CheckPage(page, word);
        }

        CheckNamed();
    }

    private void CheckExtents(uint number)
    {
        var slot = segment.SlotAt(number);
        var word = new SlotWord(Volatile.Read(ref slot->Word));
        int payload = Math.Min((int)slot->ExtentCount, RequestSlot.MaxExtents);
        for (int i = 0; i < payload; i++)
            if (Locate(slot, number, i) is var at && at != null) CheckPayload(number, word, new Extent(Volatile.Read(ref *at)));
        for (int i = 0; i < RequestSlot.MaxIndirect && slot->Indirect[i] != 0; i++) CheckPayload(number, word, new Extent(slot->Indirect[i]));

        // Only a good answer to a READ promises loans, and only to the root, whose list has them.
        if (word.State != SlotState.Replied || slot->Status != 0 || (XsegOp)slot->Op != XsegOp.Read || payload != 0 || slot->RootSlot != number) return;
        int loans = slot->Length > RequestSlot.MaxData ? 0 : Request.PagesFor(slot->Offset, slot->Length);
        for (int i = 0; i < loans; i++)
        {
            if (Locate(slot, number, i) is var at && at == null) continue;
            var extent = new Extent(Volatile.Read(ref *at));
            var page = segment.PageAt((uint)extent.Value);
            if (extent == Extent.Zero) continue;
            if (page == null || new PageWord(page->Word).Generation != extent.Generation)
                Add(FsckKind.StaleLoan, number, extent.Value, $"slot {number}: its answer names page {extent.Page}, which has moved on");
        }
    }

    private static ulong* Inline(RequestSlot* slot, int index) => &slot->Extents[index];

    private ulong* Locate(RequestSlot* slot, uint number, int index) =>
        index < RequestSlot.InlineExtents ? Inline(slot, index) : RequestData.LocateIndirect(segment, slot, number, index);

    private void CheckPayload(uint number, SlotWord word, Extent extent)
    {
        var entry = segment.PageAt(extent.Page);
        if (entry == null)
        {
            Add(FsckKind.StuckSlot, number, extent.Value, $"slot {number} names page {extent.Page}, which does not exist");
            return;
        }

        // Cached pages may be in several lists (a destage sends them); payload is in one.
        if (Volatile.Read(ref entry->Word) != new PageWord(PageState.Slot, number, extent.Generation).Value) return;
        if (!_namedBy.TryAdd(extent.Page, number))
            Add(FsckKind.PageNamedTwice, extent.Page, word.Value, $"page {extent.Page} is named twice, by slots {_namedBy[extent.Page]} and {number}");
    }

    private void CheckPage(uint page, PageWord word)
    {
        int port = word.State switch
        {
            PageState.Slot => (int)(word.Owner >> segment.SlotShift),
            PageState.Free or PageState.Cache or PageState.Limbo or PageState.Lent => (int)word.Owner,
            _ => -1,
        };
        _census.Count(word.State, port);
        if (page == 0 ? word.State != PageState.Reserved : segment.IsSenseless(word.Value))
        {
            bool dirty = page != 0 && FsckRepair.MayBeDirty(segment, segment.PageAt(page));
            Add(FsckKind.DamagedPage, page, word.Value,
                $"page {page}: word {word.Value:x16} makes no sense{(dirty ? "; it may be the only copy of a dirty bucket: --repair --discard-dirty gives it up" : "")}", repairable: page != 0 && !dirty);
            return;
        }

        if (port >= 0 && !_alive[port] && segment.PortAt(port)->State == (uint)PortState.Free && word.State != PageState.Cache)
            Add(FsckKind.LeakedPage, page, word.Value, $"page {page} is {word.State} of port {port}, which nobody has", repairable: true);
        else if (word.State == PageState.Slot) CheckSlotPage(page, word);
        else if (word.State == PageState.Cache) CheckCachePage(page, word);
    }

    private void CheckSlotPage(uint page, PageWord word)
    {
        if (!_namedBy.ContainsKey(page))
            Add(FsckKind.LeakedPage, page, word.Value, $"page {page} belongs to slot {word.Owner}, which does not name it", repairable: true);
    }

    /// <summary>True if no cache destages the page, or could tell of which bucket it is.</summary>
    internal bool IsLost(in PageEntry entry)
    {
        var masks = SectorMasks.From(entry.Masks);
        return masks.Mark != 0 || ((masks.Dirty | masks.Written) & ~masks.Valid) != 0 || entry.Bucket >= BucketsPerObject || !HasName(entry.Object)
            || entry.Flow != segment.ObjectAt(entry.Object)->Flow || IsOfAnotherOwner(entry);
    }

    private string Name(uint @object) =>
        HasName(@object) ? System.Text.Encoding.UTF8.GetString(segment.ObjectAt(@object)->Name, (int)Math.Min(segment.ObjectAt(@object)->NameLength, RequestSlot.MaxTarget)) : "without a name";

    private void CheckCachePage(uint page, PageWord word)
    {
        var entry = segment.PageAt(page);
        var masks = SectorMasks.From(entry->Masks);
        NoteNamed(*entry);
        if (masks.Mark == SectorMasks.Quarantined)
        {
            Add(FsckKind.QuarantinedPage, page, word.Value,
                $"cached page {page}: it was dirty when its entry, or its object's, was found damaged (bucket {entry->Bucket} of object {entry->Object} {Name(entry->Object)}, flow {entry->Flow}); --repair --discard-dirty gives it up");
            return;
        }

        if (entry->Bucket >= BucketsPerObject || entry->Flow >= segment.FlowCount || ((masks.Dirty | masks.Written) & ~masks.Valid) != 0)
            Add(FsckKind.DamagedPage, page, word.Value, $"cached page {page}: bucket {entry->Bucket}, flow {entry->Flow}, {masks}");
        if (!HasName(entry->Object))
            Add(FsckKind.ObjectWithoutName, page, word.Value, $"cached page {page}: object {entry->Object} has no name; {(masks.Dirty != 0 ? "its dirty data cannot be destaged" : "it is clean")}");

        (uint Object, ushort Bucket) bucket = (entry->Object, entry->Bucket);
        if (!_buckets.TryAdd(bucket, (page, entry->Sequence)))
        {
            var other = _buckets[bucket];
            uint older = other.Sequence < entry->Sequence ? other.Page : page;
            if (older != page) _buckets[bucket] = (page, entry->Sequence);
            Add(FsckKind.SupersededPage, older, segment.PageAt(older)->Word, $"page {older}: bucket {bucket.Bucket} of object {bucket.Object} has a newer page {(older == page ? other.Page : page)}", repairable: true);
        }
    }
}
