using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Ports;

/// <summary>
/// Pages that left the cache, or were lent for one answer, and that requests may still name (design 3.1). A page that came
/// here in epoch e may be named by slots allocated in epochs up to e; it is free when no such slot lives, or when none of the
/// few that do has it among its extents. Not thread-safe: one reactor.
/// </summary>
public sealed unsafe class Limbo
{
    /// <summary>
    /// So many slow readers are looked up one by one; with more the pages just wait. Requests that wait for these very pages
    /// count as readers too, so it must be more than a host's clients have in flight.
    /// </summary>
    private const int MaxSlowReaders = 16384;

    private readonly Segment _segment;
    private readonly PagePool _pool;
    private readonly HashSet<uint> _named = [];
    private Entry[] _entries = new Entry[1024];
    private int _head;
    private int _count;

    private readonly record struct Entry(uint Page, ulong Epoch);

    internal Limbo(Segment segment, PagePool pool) => (_segment, _pool) = (segment, pool);

    /// <summary>Pages waiting.</summary>
    public int Count => _count;

    /// <summary>Takes a page of this port out of use. Its word keeps its generation, so that loans stay readable.</summary>
    public void Retire(uint page)
    {
        var entry = _segment.PageAt(page);
        var word = new PageWord(entry->Word);
        Shared.Store(ref entry->Word, new PageWord(PageState.Limbo, word.Owner, word.Generation).Value);
        Add(page);
    }

    /// <summary>Adds a page whose word already says Limbo or Lent.</summary>
    public void Add(uint page)
    {
        if (_count == _entries.Length) Grow();
        _entries[(_head + _count++) & (_entries.Length - 1)] = new Entry(page, _segment.Epoch);
    }

    /// <summary>Frees what no request can name any more, to the pool. Returns the number of pages freed.</summary>
    public int Drain()
    {
        if (_count == 0) return 0;
        _segment.AdvanceEpoch();
        ulong oldest = OldestLiveEpoch(ulong.MaxValue, null, out _);
        int freed = 0;
        while (freed < _count && At(freed).Epoch < oldest) freed++;
        // Backwards, as the pool gives out last what came first: pages that were neighbours in a bucket's object are again.
        for (int i = freed - 1; i >= 0; i--) _pool.Give(At(i).Page);
        _head = (_head + freed) & (_entries.Length - 1);
        _count -= freed;
        return freed;
    }

    private ref Entry At(int index) => ref _entries[(_head + index) & (_entries.Length - 1)];

    /// <summary>
    /// As <see cref="Drain"/>, but passes slow readers by: their slots are looked up, and what they do not name is freed. What the
    /// dead have in hand holds nothing.
    /// Costs a pass over the whole limbo; for when the pool runs dry.
    /// </summary>
    public int DrainPastSlowReaders()
    {
        int freed = Drain();
        if (_count == 0) return freed;
        ulong newest = At(_count - 1).Epoch;
        _named.Clear();
        OldestLiveEpoch(newest + 1, _named, out int readers);
        if (readers > MaxSlowReaders) return freed;

        int kept = 0;
        for (int i = 0; i < _count; i++)
        {
            var entry = At(i);
            if (_named.Contains(entry.Page)) At(kept++) = entry;
            else _pool.Give(entry.Page);
        }

        freed += _count - kept;
        _count = kept;
        return freed;
    }

    /// <summary>
    /// Smallest epoch among live slots. Counts the slots with an epoch below <paramref name="below"/> and collects the pages
    /// that they name.
    /// </summary>
    private ulong OldestLiveEpoch(ulong below, HashSet<uint>? named, out int readers)
    {
        ulong oldest = ulong.MaxValue;
        readers = 0;
        for (int port = 0; port < _segment.PortCount; port++)
        {
            uint used = Math.Min(Volatile.Read(ref _segment.PortAt(port)->SlotHighWater), (uint)_segment.SlotsPerPort);
            uint first = (uint)port << _segment.SlotShift;
            bool? isAlive = null;
            for (uint number = first; number < first + used; number++)
            {
                var slot = _segment.SlotAt(number);
                var state = (SlotState)(byte)Volatile.Read(ref slot->Word);
                if (state == SlotState.Free) continue;
                ulong epoch = Volatile.Read(ref slot->Epoch);
                oldest = Math.Min(oldest, epoch);
                if (named == null || epoch >= below) continue;
                // What a dead issuer has in hand nobody reads. (Queued or Running: a living holder may.)
                if (state is SlotState.Owned or SlotState.Replied && !(isAlive ??= PortTable.IsAlive(_segment, port))) continue;
                if (++readers > MaxSlowReaders) continue;
                int count = Math.Min(Request.PagesFor(slot->Offset, Math.Min(slot->Length, RequestSlot.MaxData)), RequestSlot.MaxExtents);
                for (int i = 0; i < count; i++)
                {
                    ulong* at = i < RequestSlot.InlineExtents ? &slot->Extents[i] : RequestData.LocateIndirect(_segment, slot, number, i);
                    if (at != null) named.Add(new Extent(*at).Page);
                }
            }
        }

        return oldest;
    }

    private void Grow()
    {
        var larger = new Entry[_entries.Length * 2];
        for (int i = 0; i < _count; i++) larger[i] = At(i);
        (_entries, _head) = (larger, 0);
    }
}
