using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Ports;

/// <summary>
/// The free pages of one port's share. The stack is a hint, private to the process; what counts are the pages' owner words,
/// from which it is rebuilt. Not thread-safe: one reactor.
/// </summary>
public sealed unsafe class PagePool
{
    private readonly Segment _segment;
    private readonly uint _port;
    private uint[] _free;
    private int _count;

    internal PagePool(Segment segment, int port)
    {
        (_segment, _port) = (segment, (uint)port);
        _free = new uint[256];
    }

    /// <summary>Free pages of the share.</summary>
    public int Count => _count;

    /// <summary>Claims a free page for <paramref name="slot"/>; false if the share is used up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryTake(uint slot, out Extent extent) => TryClaim(PageState.Slot, slot, out extent);

    /// <summary>
    /// Claims a free page to be lent once: fill it, set it as an extent of the answer, and give it to <see cref="Limbo.Add"/>,
    /// which frees it when the borrower is done. Only requests of <paramref name="flow"/> may read it.
    /// </summary>
    public bool TryLend(uint flow, out Extent extent)
    {
        if (!TryClaim(PageState.Lent, _port, out extent)) return false;
        Shared.Store(ref _segment.PageAt(extent.Page)->Flow, (ushort)flow);
        return true;
    }

    /// <summary>
    /// Claims a free page for a slot of another port, in exchange for one that is adopted. While the page is in the slot but not
    /// yet in its list of extents, only the mark in its entry tells who gave it, for which claim, and for which extent
    /// (<paramref name="index"/> in the slot's list).
    /// </summary>
    internal bool TryExchange(uint slot, uint slotGeneration, int index, out Extent extent)
    {
        while (_count > 0)
        {
            uint page = _free[--_count];
            var entry = _segment.PageAt(page);
            var word = new PageWord(Volatile.Read(ref entry->Word));
            if (word.State != PageState.Free || word.Owner != _port) continue;
            uint generation = word.Generation + 1;
            Shared.Store(ref entry->Sequence, (ulong)generation << 32 | (_port + 1));
            Shared.Store(ref entry->Object, (uint)index);
            Shared.Store(ref entry->Checksum, slotGeneration);
            if (!Shared.TrySwap(ref entry->Word, word.Value, new PageWord(PageState.Slot, slot, generation).Value)) continue;
            extent = new Extent(page, generation);
            return true;
        }

        extent = default;
        return false;
    }

    /// <summary>True if the page, as its word says now, was given in exchange by <paramref name="port"/>.</summary>
    internal static bool IsExchangeOf(int port, ulong mark, PageWord word) => mark == ((ulong)word.Generation << 32 | ((uint)port + 1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryClaim(PageState state, uint owner, out Extent extent)
    {
        while (_count > 0)
        {
            uint page = _free[--_count];
            var entry = _segment.PageAt(page);
            var word = new PageWord(Volatile.Read(ref entry->Word));
            uint generation = word.Generation + 1;
            if (word.State == PageState.Free && word.Owner == _port
                && Shared.TrySwap(ref entry->Word, word.Value, new PageWord(state, owner, generation).Value))
            {
                extent = new Extent(page, generation);
                return true;
            }
        }

        extent = default;
        return false;
    }

    /// <summary>Puts back a page that this port owns in whatever way: the caller has made sure that nobody names it any more.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Give(uint page)
    {
        var entry = _segment.PageAt(page);
        uint generation = new PageWord(entry->Word).Generation;
        Shared.Store(ref entry->Word, new PageWord(PageState.Free, _port, generation).Value);
        Push(page);
    }

    /// <summary>
    /// Brings the share to <paramref name="wanted"/> pages, from or to the common pool, counting the free pages that a
    /// predecessor left and the <paramref name="held"/> ones that are in use. Under the maintenance lock.
    /// </summary>
    internal void Fill(long wanted, long held)
    {
        _count = 0;
        for (uint page = _segment.PageCount - 1; page > 0; page--)
        {
            var word = new PageWord(Volatile.Read(ref _segment.PageAt(page)->Word));
            // Zeros are no word, but damage: see PortFaults.
            if (word.State == PageState.Free && word.Owner == _port && word.Value != 0) Push(page);
        }

        for (uint page = _segment.PageCount - 1; page > 0 && _count + held < wanted; page--)
        {
            var entry = _segment.PageAt(page);
            var word = new PageWord(Volatile.Read(ref entry->Word));
            if (word.State == PageState.Common && Shared.TrySwap(ref entry->Word, word.Value, new PageWord(PageState.Free, _port, word.Generation).Value)) Push(page);
        }

        if (_count + held < wanted)
        {
            long found = _count + held;
            Surrender(0);
            if (_segment.DamagedPages() is > 0 and var damaged)
                throw new XsegException(XsegErrno.EUCLEAN, $"port {_port} wants {wanted} pages, the segment has only {found} left, for {damaged} entries of its page table are damaged; see `archipelago segment fsck --segment {_segment.DirectoryPath}`");
            throw new XsegException(XsegErrno.ENOMEM, $"port {_port} wants {wanted} pages, the segment has only {found} left; make the segment larger ([segment] pages) or the share smaller");
        }

        if (_count + held > wanted) Surrender((int)Math.Max(0, wanted - held));
    }

    /// <summary>Gives free pages above <paramref name="keep"/> back to the common pool.</summary>
    internal void Surrender(int keep)
    {
        while (_count > keep)
        {
            var entry = _segment.PageAt(_free[--_count]);
            var word = new PageWord(Volatile.Read(ref entry->Word));
            if (word.State == PageState.Free && word.Owner == _port)
                Shared.TrySwap(ref entry->Word, word.Value, new PageWord(PageState.Common, 0, word.Generation).Value);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Push(uint page)
    {
        if (_count == _free.Length) Array.Resize(ref _free, _free.Length * 2);
        _free[_count++] = page;
    }
}
