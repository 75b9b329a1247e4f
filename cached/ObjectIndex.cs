using System.Runtime.CompilerServices;
using Archipelago.Xseg;

namespace Archipelago.Cached;

/// <summary>128-bit name hash → object: open addressing, linear probing, at most half full. One reactor.</summary>
internal sealed class ObjectIndex
{
    private readonly CachedObject?[] _entries;
    private readonly ulong[] _tags;
    private readonly int _mask;

    internal ObjectIndex(int objects)
    {
        int capacity = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, objects * 2));
        (_entries, _tags, _mask) = (new CachedObject?[capacity], new ulong[capacity], capacity - 1);
    }

    internal int Count { get; private set; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal CachedObject? Find(in Hash128 hash)
    {
        for (int at = (int)hash.Low & _mask; ; at = (at + 1) & _mask)
        {
            if (_tags[at] == hash.High)
            {
                var found = _entries[at];
                if (found == null) return null;
                if (found.Hash.Low == hash.Low) return found;
            }
            else if (_entries[at] == null)
            {
                return null;
            }
        }
    }

    internal void Add(CachedObject added)
    {
        int at = (int)added.Hash.Low & _mask;
        while (_entries[at] != null) at = (at + 1) & _mask;
        (_entries[at], _tags[at]) = (added, added.Hash.High);
        Count++;
    }

    internal void Remove(CachedObject removed)
    {
        int hole = (int)removed.Hash.Low & _mask;
        while (_entries[hole] != removed)
        {
            if (_entries[hole] == null) throw new InvalidOperationException($"object entry {removed.Entry} was given back twice");
            hole = (hole + 1) & _mask;
        }

        Count--;
        for (int at = (hole + 1) & _mask; _entries[at] is { } entry; at = (at + 1) & _mask)
        {
            int home = (int)entry.Hash.Low & _mask;
            if (((at - home) & _mask) < ((at - hole) & _mask)) continue;
            (_entries[hole], _tags[hole]) = (entry, _tags[at]);
            hole = at;
        }

        (_entries[hole], _tags[hole]) = (null, 0);
    }

    /// <summary>The entry at the hand, perhaps none, and the hand one further.</summary>
    internal CachedObject? Next(ref int hand) => _entries[hand++ & _mask];

    internal IEnumerable<CachedObject> All() => _entries.Where(entry => entry != null)!;
}
