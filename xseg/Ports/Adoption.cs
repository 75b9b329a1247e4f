using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Ports;

/// <summary>What came of an adoption.</summary>
public enum AdoptionOutcome
{
    /// <summary>The page left its slot and is a bucket of this port now.</summary>
    Adopted,
    /// <summary>
    /// An earlier life had adopted this very page and died before it could say so in the slot, and was taken over by somebody who
    /// does not keep cached pages. Now the slot says so.
    /// </summary>
    Resumed,
    /// <summary>The extent is spent: an earlier execution has done this part of the write.</summary>
    DoneBefore,
    /// <summary>The share has no free page to give in exchange: delay the request.</summary>
    NoFreePage,
    /// <summary>The slot does not own the page that it names: EBADMSG.</summary>
    NotOwned,
}

/// <summary>
/// Adoption (design 3.1): a full-page write gives its page to a bucket, and gets a free page of the cache's share in exchange, so
/// that neither share shrinks. The order of the stores, and what a crash before each leaves to the successor:
/// <list type="number">
/// <item>The exchange page F is marked (in its entry: our port, the claim, the extent that it is for) and claimed, Free → Slot of
/// the root. <i>Before: nothing happened. After: F is in the slot, but not in its list; recovery knows it by its mark and frees it.
/// The write's own page is untouched and the replay adopts it.</i></item>
/// <item>The fields of the page's entry. <i>Meaningless until the next store.</i></item>
/// <item>The page's owner word, Slot → Cache, by compare-and-swap, with its generation unchanged: <b>the commit</b>. <i>After: the
/// page is a bucket, newest by its sequence; the list still names it. Recovery finds F by its mark, sees that the extent which it
/// is for names a page of our cache, and does the last store in our place.</i></item>
/// <item>The extent becomes (F, spent). <i>After: the replay sees a spent extent and leaves this part alone
/// (<see cref="AdoptionOutcome.DoneBefore"/>); when the issuer frees its request, F is what it gets back.</i></item>
/// </list>
/// The caller acknowledges after the commit. A port that adopts must be bound with
/// <see cref="PortOptions.KeepsCachePages"/>: a spent extent is the only trace of the payload besides the cached page.
/// </summary>
public static unsafe class Adoption
{
    /// <summary>
    /// Adopts the page of extent <paramref name="index"/>, all 4,096 bytes of which the write covers. <paramref name="page"/> is the
    /// bucket's page if the outcome is <see cref="AdoptionOutcome.Adopted"/> or <see cref="AdoptionOutcome.Resumed"/> (then its
    /// entry keeps the sequence that it has, and the page may have been replaced by a newer one already). Nothing has changed if
    /// the outcome is another. On the port's reactor.
    /// </summary>
    public static AdoptionOutcome Adopt(Port port, in RequestData data, int index, uint @object, ushort bucket, ushort flow, SectorMasks masks, ulong sequence, uint checksum, out Extent page)
    {
        page = data.Get(index);
        if (page.IsSpent) return AdoptionOutcome.DoneBefore;
        var entry = port.Segment.PageAt(page.Page);
        if (entry == null) return AdoptionOutcome.NotOwned;
        var word = new PageWord(Volatile.Read(ref entry->Word));
        var owned = new PageWord(PageState.Slot, data.RootSlot, page.Generation);
        bool resumes = word != owned;
        if (resumes && !IsOurs(port, entry, word, page, @object, bucket, flow)) return AdoptionOutcome.NotOwned;

        uint generation = new SlotWord(Volatile.Read(ref port.Segment.SlotAt(data.RootSlot)->Word)).Generation;
        if (!port.Pages.TryExchange(data.RootSlot, generation, data.First + index, out var exchange)) return AdoptionOutcome.NoFreePage;
        if (!resumes)
        {
            Fill(entry, @object, bucket, flow, masks, sequence, checksum);
            if (!Shared.TrySwap(ref entry->Word, owned.Value, new PageWord(PageState.Cache, (uint)port.Number, page.Generation).Value))
            {
                port.Pages.Give(exchange.Page);
                return AdoptionOutcome.NotOwned;
            }
        }

        // Where the list's own indirect page vanished under a faulty issuer, the issuer loses a page of its share: F stays marked.
        data.Set(index, exchange.AsSpent());
        return resumes ? AdoptionOutcome.Resumed : AdoptionOutcome.Adopted;
    }

    /// <summary>
    /// Makes a page that a request of <paramref name="port"/> itself owns (a fill) a bucket. Nothing is exchanged: it is the
    /// port's share already. The same order: fields, then the word. False if the page is not the request's.
    /// </summary>
    public static bool TryKeep(Port port, in RequestData data, int index, uint @object, ushort bucket, ushort flow, SectorMasks masks, ulong sequence, uint checksum, out Extent page)
    {
        var entry = data.Owned(index, out page);
        if (entry == null) return false;
        Fill(entry, @object, bucket, flow, masks, sequence, checksum);
        var owned = new PageWord(PageState.Slot, data.RootSlot, page.Generation);
        return Shared.TrySwap(ref entry->Word, owned.Value, new PageWord(PageState.Cache, (uint)port.Number, page.Generation).Value);
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

    private static bool IsOurs(Port port, PageEntry* entry, PageWord word, Extent page, uint @object, ushort bucket, ushort flow) =>
        word.State is PageState.Cache or PageState.Limbo && word.Owner == (uint)port.Number && word.Generation == page.Generation
        && entry->Object == @object && entry->Bucket == bucket && entry->Flow == flow;
}
