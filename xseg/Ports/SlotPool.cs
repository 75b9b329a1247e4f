using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Ports;

/// <summary>
/// The free request slots of one port. Last in, first out, so that few slots are ever touched. Not thread-safe: one reactor.
/// </summary>
internal sealed unsafe class SlotPool
{
    private const ulong TakenBit = 1ul << 32;

    private readonly Segment _segment;
    private readonly PortEntry* _entry;
    private readonly uint _first;
    /// <summary>
    /// Slots that are never used: a server that was just replying to our predecessor may put its entry into a ring that has
    /// room for exactly as many replies as there are slots.
    /// </summary>
    internal const int Spare = 2;

    private readonly uint[] _free;
    private readonly ulong[] _taken;
    private int _count;
    private uint _highWater;

    internal SlotPool(Segment segment, int port)
    {
        _segment = segment;
        _entry = segment.PortAt(port);
        _first = (uint)port << segment.SlotShift;
        _free = new uint[segment.SlotsPerPort];
        _taken = new ulong[segment.SlotsPerPort];
        _highWater = Math.Min(_entry->SlotHighWater, (uint)segment.SlotsPerPort);
        for (int i = _free.Length - 1 - Spare; i >= 0; i--)
        {
            // A slot that is not free after recovery is one kept for inspection.
            uint slot = _first + (uint)i;
            if (new SlotWord(Volatile.Read(ref segment.SlotAt(slot)->Word)).State == SlotState.Free) _free[_count++] = slot;
        }
    }

    internal int Count => _count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryTake(int port, out Request request)
    {
        while (_count > 0)
        {
            uint number = _free[--_count];
            var slot = _segment.SlotAt(number);
            uint index = number - _first;
            if (index >= _highWater)
            {
                // Before the slot is used: scans for live slots stop at this mark.
                _highWater = index + 1;
                Shared.Store(ref _entry->SlotHighWater, _highWater);
            }

            var word = new SlotWord(Volatile.Read(ref slot->Word));
            if (word.State != SlotState.Free) continue;
            // The epoch goes first: a slot that is seen as live has named its epoch.
            Shared.Store(ref slot->Epoch, _segment.Epoch);
            if (!Shared.TrySwap(ref slot->Word, word.Value, new SlotWord(SlotState.Owned, port, word.Generation).Value)) continue;
            _taken[index] = TakenBit | word.Generation;
            request = new Request(_segment, slot, number, word.Generation);
            return true;
        }

        request = default;
        return false;
    }

    /// <summary>True while the request is out; the memory is our own, so that a damaged slot can be freed, and no slot twice.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool IsTaken(in Request request)
    {
        uint index = request.Slot - _first;
        return index < (uint)_taken.Length && _taken[index] == (TakenBit | request.Generation);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Give(in Request request)
    {
        _taken[request.Slot - _first] = 0;
        Shared.Store(ref request.Pointer->Word, new SlotWord(SlotState.Free, 0, request.Generation + 1).Value);
        _free[_count++] = request.Slot;
    }
}
