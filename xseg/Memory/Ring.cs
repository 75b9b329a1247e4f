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
        _knownHead = Volatile.Read(ref *_head);
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
    private readonly ulong* _headWord;
    private readonly ulong* _tailWord;
    private readonly ulong* _entries;
    private readonly ulong _mask;
    private readonly int _shift;
    private ulong _head;

    internal RingConsumer(byte* ring, int capacity)
    {
        _headWord = (ulong*)(ring + LinkLayout.HeadOffset);
        _tailWord = (ulong*)(ring + LinkLayout.TailOffset);
        _entries = (ulong*)(ring + LinkLayout.EntriesOffset);
        _mask = (ulong)capacity - 1;
        _shift = System.Numerics.BitOperations.Log2((uint)capacity);
        _head = Volatile.Read(ref *_headWord);
    }

    /// <summary>Takes the next entry, if there is one. The entry is a claim, not a fact: the slot's word decides.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryPop(out uint slot, out uint generation)
    {
        ulong entry = Volatile.Read(ref _entries[_head & _mask]);
        slot = (uint)entry & 0xFF_FFFF;
        generation = (uint)(entry >> 32);
        if (RingEntry.LapOf(entry) != RingEntry.Lap(_head, _shift)) return false;
        _head++;
        return true;
    }

    /// <summary>Starts the load of the entry after the next ones, so that a burst does not stall on each line.</summary>
    internal bool HasMore => RingEntry.LapOf(Volatile.Read(ref _entries[_head & _mask])) == RingEntry.Lap(_head, _shift);

    /// <summary>Tells the producer how far we are. Once per batch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void PublishHead() => Shared.Store(ref *_headWord, _head);

    /// <summary>
    /// Called when the ring looks empty and the consumer is about to sleep: passes over entries that the producer has
    /// published but that are damaged, and returns how many. Without this one bad entry would block the link for ever.
    /// </summary>
    internal int SkipDamaged()
    {
        ulong tail = Volatile.Read(ref *_tailWord);
        ulong behind = tail - _head;
        if (behind == 0 || (long)behind < 0 || HasMore) return 0;
        int skipped = 0;
        if (behind > _mask + 1)
        {
            // Overtaken, or a damaged tail. If the entry at the tail says so too, the tail is true.
            if (tail == 0 || RingEntry.LapOf(Volatile.Read(ref _entries[(tail - 1) & _mask])) != RingEntry.Lap(tail - 1, _shift)) return 0;
            _head = tail - _mask - 1;
            skipped++;
        }

        while (_head != tail && !HasMore)
        {
            _head++;
            skipped++;
        }

        PublishHead();
        return skipped;
    }
}
