using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Cached;

/// <summary>
/// (object, bucket) → page, in one flat array: 8 B an entry, 5 entries per 4 pages, linear probing. An entry is the page
/// (bits 0–31), a tag of the hash (32–62) and the second-chance bit (63), so that a hit touches one line here and one of the
/// page table, where the full key is. Rebuilt from the page table after a restart. One reactor.
/// </summary>
internal sealed unsafe class BucketIndex
{
    private const ulong Referenced = 1ul << 63;

    private readonly Segment _segment;
    private readonly ulong[] _entries;

    internal BucketIndex(Segment segment, long pages)
    {
        _segment = segment;
        _entries = new ulong[pages + (pages >> 2) + 16];
    }

    internal int Count { get; private set; }

    /// <summary>Bytes that the index takes.</summary>
    internal long Bytes => _entries.LongLength * sizeof(ulong);

    /// <summary>Page of a bucket, or 0; marks it as used if <paramref name="touch"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal uint Find(uint @object, ushort bucket, bool touch)
    {
        int at = FindSlot(@object, bucket);
        if (at < 0) return 0;
        ref ulong entry = ref _entries[at];
        if (touch && (entry & Referenced) == 0) entry |= Referenced;
        return (uint)entry;
    }

    /// <summary>
    /// Starts to fetch what the look-ups of neighbouring buckets will read, a line here and one of the page table each: the misses
    /// then overlap, instead of one waiting for the other. For requests of several pages.
    /// </summary>
    internal void Prefetch(uint @object, int bucket, int count)
    {
        if (!Sse.IsSupported) return;
        var entries = _entries;
        for (int i = 0; i < count; i++) Sse.Prefetch0(Unsafe.AsPointer(ref entries[Home(Hash(@object, (ushort)(bucket + i)))]));
        for (int i = 0; i < count; i++)
        {
            // Mostly the bucket is at home; if not, a line is fetched in vain.
            var entry = _segment.PageAt((uint)entries[Home(Hash(@object, (ushort)(bucket + i)))]);
            if (entry != null) Sse.Prefetch0(entry);
        }
    }

    /// <summary>Points a bucket at a page; the page's entry holds the key already. Returns the page that it replaces, or 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal uint Set(uint @object, ushort bucket, uint page)
    {
        ulong hash = Hash(@object, bucket);
        ulong tag = Tag(hash);
        int at = Home(hash);
        while (true)
        {
            ref ulong entry = ref _entries[at];
            if (entry == 0)
            {
                entry = page | tag;
                Count++;
                return 0;
            }

            if (((entry ^ tag) & ~Referenced) >> 32 == 0 && Matches((uint)entry, @object, bucket))
            {
                uint old = (uint)entry;
                entry = page | tag | Referenced;
                return old;
            }

            if (++at == _entries.Length) at = 0;
        }
    }

    /// <summary>Forgets a bucket.</summary>
    internal void Remove(uint @object, ushort bucket)
    {
        int hole = FindSlot(@object, bucket);
        if (hole < 0) return;
        Count--;
        // Backward shift: no tombstones, so look-ups never get slower.
        int at = hole;
        while (true)
        {
            if (++at == _entries.Length) at = 0;
            ulong entry = _entries[at];
            if (entry == 0) break;
            var key = _segment.PageAt((uint)entry);
            int home = Home(Hash(key->Object, key->Bucket));
            bool movable = hole <= at ? home <= hole || home > at : home <= hole && home > at;
            if (!movable) continue;
            _entries[hole] = entry;
            hole = at;
        }

        _entries[hole] = 0;
    }

    /// <summary>Takes the second chance of a bucket away; true if it had one.</summary>
    internal bool ClearReferenced(uint @object, ushort bucket)
    {
        int at = FindSlot(@object, bucket);
        if (at < 0 || (_entries[at] & Referenced) == 0) return false;
        _entries[at] &= ~Referenced;
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int FindSlot(uint @object, ushort bucket)
    {
        ulong hash = Hash(@object, bucket);
        ulong tag = Tag(hash);
        var entries = _entries;
        int at = Home(hash);
        while (true)
        {
            ulong entry = entries[at];
            if (entry == 0) return -1;
            if (((entry ^ tag) & ~Referenced) >> 32 == 0 && Matches((uint)entry, @object, bucket)) return at;
            if (++at == entries.Length) at = 0;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Matches(uint page, uint @object, ushort bucket)
    {
        var entry = _segment.PageAt(page);
        return entry->Object == @object && entry->Bucket == bucket;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Hash(uint @object, ushort bucket)
    {
        ulong key = ((ulong)@object << 16 | bucket) * 0x9E37_79B9_7F4A_7C15;
        return (key ^ (key >> 32)) * 0xD6E8_FEB8_6659_FD93;
    }

    private static ulong Tag(ulong hash) => (hash << 32) & 0x7FFF_FFFF_0000_0000;

    private int Home(ulong hash) => (int)(((hash >> 32) * (ulong)_entries.Length) >> 32);
}
