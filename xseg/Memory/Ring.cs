using System.Runtime.CompilerServices;

namespace Archipelago.Xseg.Memory;

/// <summary>
/// An entry of a ring: slot (bits 0–23), lap (24–31, 1 to 255), generation of the slot (32–63). The lap makes the entry its
/// own publication: one release store, so that a producer killed anywhere leaves nothing or a whole entry. A lap of 0 is
/// never written, so a fresh ring is empty.
/// </summary>
internal static class RingEntry
{
    internal static ulong Pack(uint slot, uint generation, byte lap) => slot | ((ulong)lap << 24) | ((ulong)generation << 32);

    internal static byte Lap(ulong position, int shift) => (byte)(((position >> shift) % 255) + 1);

    internal static byte LapOf(ulong entry) => (byte)(entry >> 24);
}

/// <summary>
/// The producing end of a single-producer single-consumer ring. Its position is private; a successor finds it by reading the
/// ring from the consumer's head on. Not thread-safe: one reactor.
/// </summary>
internal sealed unsafe class RingProducer
{
    private readonly ulong* _head;
    private readonly ulong* _tailWord;
    private readonly ulong* _entries;
    private readonly ulong _mask;
    private readonly int _shift;
    private ulong _tail;
    private ulong _knownHead;

    internal RingProducer(byte* ring, int capacity)
    {
        _head = (ulong*)(ring + LinkLayout.HeadOffset);
        _tailWord = (ulong*)(ring + LinkLayout.TailOffset);
        _entries = (ulong*)(ring + LinkLayout.EntriesOffset);
        _mask = (ulong)capacity - 1;
        _shift = System.Numerics.BitOperations.Log2((uint)capacity);
        // The tail word is stored after the entry, so the predecessor may have published one more than it says.
        _tail = Volatile.Read(ref *_tailWord);
        for (ulong i = 0; i <= _mask && RingEntry.LapOf(Volatile.Read(ref _entries[_tail & _mask])) == RingEntry.Lap(_tail, _shift); i++) _tail++;
        if (_tail != Volatile.Read(ref *_tailWord)) Shared.Store(ref *_tailWord, _tail);
        _knownHead = Volatile.Read(ref *_head);
    }

    /// <summary>What is in the ring and not yet taken.</summary>
    internal HashSet<(uint Slot, uint Generation)> Outstanding()
    {
        var found = new HashSet<(uint, uint)>();
        ulong head = Volatile.Read(ref *_head);
        if (_tail - head > _mask + 1) return found;
        for (; head != _tail; head++)
        {
            ulong entry = Volatile.Read(ref _entries[head & _mask]);
            if (RingEntry.LapOf(entry) == RingEntry.Lap(head, _shift)) found.Add(((uint)entry & 0xFF_FFFF, (uint)(entry >> 32)));
        }

        return found;
    }

    /// <summary>Publishes an entry; false if the consumer is a whole ring behind.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryPush(uint slot, uint generation)
    {
        if (_tail - _knownHead > _mask && !HasRoom()) return false;
        Shared.Store(ref _entries[_tail & _mask], RingEntry.Pack(slot, generation, RingEntry.Lap(_tail, _shift)));
        Shared.Store(ref *_tailWord, ++_tail);
        return true;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool HasRoom()
    {
        ulong head = Volatile.Read(ref *_head);
        // A head outside [tail − capacity, tail] is damaged. The slots bound what can be outstanding, so going on is right.
        _knownHead = _tail - head <= _mask + 1 ? head : _tail;
        return _tail - _knownHead <= _mask;
    }
}

/// <summary>The consuming end of a single-producer single-consumer ring. Not thread-safe: one reactor.</summary>
internal sealed unsafe class RingConsumer
{
    /// <summary>So often an empty ring is checked for damage while its consumer is too busy to sleep.</summary>
    private const uint CheckInterval = 4096;

    private readonly ulong* _headWord;
    private readonly ulong* _tailWord;
    private readonly ulong* _entries;
    private readonly ulong _mask;
    private readonly int _shift;
    private ulong _head;
    private ulong _published;
    private ulong _rewoundAt = ulong.MaxValue;
    private uint _misses;
    private int _damaged;

    internal RingConsumer(byte* ring, int capacity)
    {
        _headWord = (ulong*)(ring + LinkLayout.HeadOffset);
        _tailWord = (ulong*)(ring + LinkLayout.TailOffset);
        _entries = (ulong*)(ring + LinkLayout.EntriesOffset);
        _mask = (ulong)capacity - 1;
        _shift = System.Numerics.BitOperations.Log2((uint)capacity);
        _head = _published = Volatile.Read(ref *_headWord);
    }

    /// <summary>Takes the next entry, if there is one. The entry is a claim, not a fact: the slot's word decides.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryPop(out uint slot, out uint generation)
    {
        ulong entry = Volatile.Read(ref _entries[_head & _mask]);
        slot = (uint)entry & 0xFF_FFFF;
        generation = (uint)(entry >> 32);
        if (RingEntry.LapOf(entry) != RingEntry.Lap(_head, _shift)) return ++_misses % CheckInterval == 0 && PopPastDamage(out slot, out generation);
        _head++;
        return true;
    }

    /// <summary>True if there is an entry to take.</summary>
    internal bool HasMore => RingEntry.LapOf(Volatile.Read(ref _entries[_head & _mask])) == RingEntry.Lap(_head, _shift);

    /// <summary>
    /// Tells the producer how far we are. For requests after they were accepted (else a crash in between loses one); for
    /// replies before their slots can be used again (then a ring as large as the slots never overflows).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void PublishHead()
    {
        if (_head == _published) return;
        Shared.Store(ref *_headWord, _published = _head);
    }

    /// <summary>Passes over everything that is in the ring: its slots have been fenced.</summary>
    internal void Clear()
    {
        while (HasMore) _head++;
        PublishHead();
    }

    /// <summary>
    /// Called when the ring looks empty: passes over entries that the producer has published but that are damaged. Without this
    /// one bad entry would block the link for ever. Entries that are met twice do no harm, so on a contradiction we go back.
    /// Returns how many were passed over since the last call.
    /// </summary>
    internal int SkipDamaged()
    {
        Skip();
        int damaged = _damaged;
        _damaged = 0;
        return damaged;
    }

    private void Skip()
    {
        ulong tail = Volatile.Read(ref *_tailWord);
        ulong behind = tail - _head;
        // One ahead of the tail is usual: the producer stores the entry first.
        if (behind == 0 || behind == ulong.MaxValue || HasMore) return;
        if (behind > _mask + 1)
        {
            // Overtaken, or before us: our head, or the tail, is damaged. If the entry at the tail says so too, the tail is true.
            if (tail == 0 || tail == _rewoundAt || RingEntry.LapOf(Volatile.Read(ref _entries[(tail - 1) & _mask])) != RingEntry.Lap(tail - 1, _shift)) return;
            _rewoundAt = tail;
            _head = tail > _mask ? tail - _mask - 1 : 0;
            _damaged++;
        }

        while (_head != tail && !HasMore)
        {
            _head++;
            _damaged++;
        }

        PublishHead();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool PopPastDamage(out uint slot, out uint generation)
    {
        Skip();
        slot = generation = 0;
        // One more try at most: the miss counter has moved on.
        return HasMore && TryPop(out slot, out generation);
    }
}
