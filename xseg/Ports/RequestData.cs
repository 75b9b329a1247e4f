using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;

namespace Archipelago.Xseg.Ports;

/// <summary>
/// The extents that carry a request's data: a window into the list of its root. Extent i holds bytes of page i of the range;
/// the first byte of the range is at (offset mod 4,096) in extent 0.
/// </summary>
public readonly unsafe struct RequestData
{
    private readonly Segment _segment;
    private readonly RequestSlot* _root;
    private readonly int _first;

    internal RequestData(Segment segment, RequestSlot* root, uint rootSlot, int first, int count)
    {
        _segment = segment;
        _root = root;
        RootSlot = rootSlot;
        _first = first;
        Count = count;
    }

    /// <summary>Slot that owns the payload's pages and borrows the lent ones.</summary>
    public uint RootSlot { get; }
    /// <summary>Extents of the request.</summary>
    public int Count { get; }
    /// <summary>First extent of this window in the root's list: what a child of this request borrows from.</summary>
    public int First => _first;

    /// <summary>True if the issuer has supplied pages: always for WRITE; for READ, the holder fills these instead of lending.</summary>
    public bool HasPages => _first + Count <= _root->ExtentCount && Count > 0;

    /// <summary>Extent <paramref name="index"/>, from 0 to <see cref="Count"/> − 1. What it names is not yet checked.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Extent Get(int index)
    {
        ulong* at = Locate(_first + index);
        return at == null ? new Extent(Extent.SpentBit - 1, 0) : new Extent(Volatile.Read(ref *at));
    }

    /// <summary>Sets extent <paramref name="index"/>; false if the root lacks the indirect page for it (a faulty issuer).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Set(int index, Extent extent)
    {
        ulong* at = Locate(_first + index);
        if (at == null) return false;
        Shared.Store(ref *at, extent.Value);
        return true;
    }

    /// <summary>
    /// The page of extent <paramref name="index"/> if its payload still belongs to the root: what may be adopted or filled.
    /// Null if it was adopted already, or if the slot lies.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public PageEntry* Owned(int index, out Extent extent)
    {
        extent = Get(index);
        var entry = _segment.PageAt((uint)extent.Value);
        if (entry == null) return null;
        return Volatile.Read(ref entry->Word) == new PageWord(PageState.Slot, RootSlot, extent.Generation).Value ? entry : null;
    }

    /// <summary>
    /// The bytes of extent <paramref name="index"/> for reading: payload of the root, a page lent to it (of its flow, or of
    /// <see cref="FlowSpace.Shared"/>), or zeros. Null if the page's word does not agree with the slot: then the request is answered EBADMSG, or (see
    /// <see cref="Extent.IsSpent"/>) that part was written before.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Readable(int index)
    {
        var extent = Get(index);
        uint page = (uint)extent.Value;
        var entry = _segment.PageAt(page);
        if (entry == null) return null;
        var word = new PageWord(Volatile.Read(ref entry->Word));
        bool agrees = word.State switch
        {
            PageState.Slot => word.Owner == RootSlot && word.Generation == extent.Generation,
            PageState.Cache or PageState.Limbo or PageState.Lent => word.Generation == extent.Generation && (entry->Flow == (ushort)_root->Flow || FlowTable.IsShared(_segment, entry->Flow)),
            PageState.Reserved => page == 0,
            _ => false,
        };
        return agrees ? _segment.PageBytes(page) : null;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ulong* Locate(int index) => (uint)index < RequestSlot.InlineExtents ? &_root->Extents[index] : LocateIndirect(_segment, _root, RootSlot, index);

    internal static ulong* LocateIndirect(Segment segment, RequestSlot* root, uint rootSlot, int index)
    {
        int at = index - RequestSlot.InlineExtents;
        if ((uint)at >= RequestSlot.MaxIndirect * RequestSlot.ExtentsPerIndirect) return null;
        var list = new Extent(Volatile.Read(ref root->Indirect[at / RequestSlot.ExtentsPerIndirect]));
        var entry = segment.PageAt((uint)list.Value);
        if (entry == null || Volatile.Read(ref entry->Word) != new PageWord(PageState.Slot, rootSlot, list.Generation).Value) return null;
        return (ulong*)segment.PageBytes((uint)list.Value) + at % RequestSlot.ExtentsPerIndirect;
    }
}
