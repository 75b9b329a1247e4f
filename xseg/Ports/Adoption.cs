using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Ports;

/// <summary>Pages that change from a request to a bucket of the cache without being copied (design 3.1).</summary>
public static unsafe class Adoption
{
    /// <summary>
    /// Adopts the page of extent <paramref name="index"/> as a bucket of <paramref name="port"/>, in exchange for a free page of
    /// its share. False, with nothing changed, if the page is not the request's (any more) or no free page is left.
    /// <para>
    /// Order of stores, and what a crash before each leaves: (1) the exchange page becomes the slot's: before its list names
    /// it, recovery gives it back to the share; (2) the entry's fields, which mean nothing while the slot owns the page;
    /// (3) the owner word: the commit, from here on the bucket has the data and a replay sees that it was applied;
    /// (4) the extent names the exchange, marked as spent: before that, the old extent's page is not the slot's, which says
    /// the same.
    /// </para>
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryAdopt(Port port, in RequestData data, int index, uint @object, ushort bucket, ushort flow, SectorMasks masks, ulong sequence, uint checksum, out Extent page)
    {
        var entry = data.Owned(index, out page);
        if (entry == null || !port.Pages.TryTake(data.RootSlot, out var exchange)) return false;
        Fill(entry, @object, bucket, flow, masks, sequence, checksum);
        var owned = new PageWord(PageState.Slot, data.RootSlot, page.Generation);
        if (!Shared.TrySwap(ref entry->Word, owned.Value, new PageWord(PageState.Cache, (uint)port.Number, page.Generation).Value))
        {
            port.Pages.Give(exchange.Page);
            return false;
        }

        data.Set(index, exchange.AsSpent());
        return true;
    }

    /// <summary>
    /// Makes a page that a request of <paramref name="port"/> itself owns (a fill) a bucket. Nothing is exchanged: it is the
    /// port's share already. False if the page is not the request's.
    /// </summary>
    public static bool TryKeep(Port port, in RequestData data, int index, uint @object, ushort bucket, ushort flow, SectorMasks masks, ulong sequence, uint checksum, out Extent page)
    {
        var entry = data.Owned(index, out page);
        if (entry == null) return false;
        Fill(entry, @object, bucket, flow, masks, sequence, checksum);
        var owned = new PageWord(PageState.Slot, data.RootSlot, page.Generation);
        return Shared.TrySwap(ref entry->Word, owned.Value, new PageWord(PageState.Cache, (uint)port.Number, page.Generation).Value);
    }

    /// <summary>
    /// Turns a page that a request of <paramref name="port"/> itself owns into one that is lent to a request of
    /// <paramref name="flow"/>; it is in limbo from here on. False if the page is not the request's.
    /// </summary>
    public static bool TryLend(Port port, in RequestData data, int index, uint flow, out Extent page)
    {
        var entry = data.Owned(index, out page);
        if (entry == null) return false;
        Shared.Store(ref entry->Flow, (ushort)flow);
        Shared.Store(ref entry->Word, new PageWord(PageState.Lent, (uint)port.Number, page.Generation).Value);
        port.Limbo.Add(page.Page);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Fill(PageEntry* entry, uint @object, ushort bucket, ushort flow, SectorMasks masks, ulong sequence, uint checksum)
    {
        Shared.Store(ref entry->Sequence, sequence);
        Shared.Store(ref entry->Object, @object);
        Shared.Store(ref entry->Bucket, bucket);
        Shared.Store(ref entry->Flow, flow);
        Shared.Store(ref entry->Masks, masks.Packed);
        Shared.Store(ref entry->Checksum, checksum);
    }
}
