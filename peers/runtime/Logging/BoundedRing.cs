using System.Numerics;
using System.Runtime.InteropServices;

namespace Archipelago.Runtime.Logging;

/// <summary>
/// A bounded queue of many producers and one consumer that never locks and never waits. Each cell carries a ticket: equal to a
/// position, the cell is free for the producer of that position; one more, it is full for the consumer. A producer that stops
/// between its claim and its publication holds back what comes after it, but no other producer.
/// </summary>
internal sealed class BoundedRing<T>
    where T : class
{
    private readonly Cell[] _cells;
    private readonly int _mask;
    private Cursors _cursors;

    public BoundedRing(int length)
    {
        _cells = new Cell[BitOperations.RoundUpToPowerOf2((uint)length)];
        _mask = _cells.Length - 1;
        for (int i = 0; i < _cells.Length; i++)
        {
            _cells[i].Ticket = i;
        }
    }

    public int Capacity => _cells.Length;

    /// <summary>False if the ring is full. Any thread.</summary>
    public bool TryEnqueue(T item)
    {
        long position = Volatile.Read(ref _cursors.Tail);
        while (true)
        {
            ref Cell cell = ref _cells[(int)position & _mask];
            long ahead = Volatile.Read(ref cell.Ticket) - position;
            if (ahead < 0)
            {
                return false;
            }

            if (ahead == 0 && Interlocked.CompareExchange(ref _cursors.Tail, position + 1, position) == position)
            {
                cell.Item = item;
                Volatile.Write(ref cell.Ticket, position + 1);
                return true;
            }

            position = Volatile.Read(ref _cursors.Tail);
        }
    }

    /// <summary>False if nothing is ready. The consumer's thread only.</summary>
    public bool TryDequeue(out T? item)
    {
        ref Cell cell = ref _cells[(int)_cursors.Head & _mask];
        if (Volatile.Read(ref cell.Ticket) != _cursors.Head + 1)
        {
            item = null;
            return false;
        }

        item = cell.Item;
        cell.Item = null;
        Volatile.Write(ref cell.Ticket, _cursors.Head + _cells.Length);
        _cursors.Head++;
        return true;
    }

    /// <summary>Whether the next item is ready. The consumer's thread only.</summary>
    public bool HasItem => Volatile.Read(ref _cells[(int)_cursors.Head & _mask].Ticket) == _cursors.Head + 1;

    private struct Cell
    {
        public long Ticket;
        public T? Item;
    }
}

// A cache line and its neighbour each, so that producers and consumer do not take the line from each other. Not nested: a type
// with an explicit layout must not be generic.
[StructLayout(LayoutKind.Explicit, Size = 384)]
internal struct Cursors
{
    [FieldOffset(128)]
    public long Tail;
    [FieldOffset(256)]
    public long Head;
}
