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
    private const int Nowhere = int.MinValue;

    private readonly Segment _segment;
    private readonly ulong[] _entries;

    internal BucketIndex(Segment segment, long pages)
    {
        _segment = segment;
        _entries = new ulong[pages + (pages >> 2) + 16];
    }

    internal int Count { get; private set; }

    /// <summary>
    /// Not 0 after a look-up that found no page because the entry of the one that it had is damaged: that page, which is forgotten
    /// here. The caller sets it back to 0.
    /// </summary>
    internal uint Lost { get; set; }

    /// <summary>Called with each page that is forgotten because of its damaged entry while another was looked for: whose it was cannot be told.</summary>
    internal Action<uint>? Stray { get; set; }

    /// <summary>Bytes that the index takes.</summary>
    internal long Bytes => _entries.LongLength * sizeof(ulong);

    /// <summary>Page of a bucket, or 0; marks it as used if <paramref name="touch"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal uint Find(uint @object, ushort bucket, bool touch)
    {
        int at = FindSlot(@object, bucket);
        if (at < 0) return at == Nowhere ? 0 : FindPastDamage(@object, bucket, at);
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
        if (hole != Nowhere) RemoveAt(hole < 0 ? ~hole : hole);
    }

    private void RemoveAt(int hole)
    {
        Count--;
        // Backward shift: no tombstones, so look-ups never get slower.
        int at = hole;
        while (true)
        {
            if (++at == _entries.Length) at = 0;
            ulong entry = _entries[at];
            if (entry == 0) break;
            if (!TryHash(entry, out ulong hash))
            {
                _entries[hole] = 0;
                PutAgain(hole);
                return;
            }

            int home = Home(hash);
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

    /// <summary>Where an entry is damaged nobody knows where it may move to: what follows <paramref name="hole"/> is put in place anew, without it.</summary>
    private void PutAgain(int hole)
    {
        var moved = new List<ulong>();
        for (int at = hole; ;)
        {
            if (++at == _entries.Length) at = 0;
            if (_entries[at] == 0) break;
            moved.Add(_entries[at]);
            _entries[at] = 0;
        }

        foreach (ulong entry in moved)
        {
            if (!TryHash(entry, out ulong hash))
            {
                Count--;
                Stray?.Invoke((uint)entry);
                continue;
            }

            int at = Home(hash);
            while (_entries[at] != 0)
                if (++at == _entries.Length) at = 0;
            _entries[at] = entry;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private uint FindPastDamage(uint @object, ushort bucket, int at)
    {
        uint lost = 0;
        for (; at < 0 && at != Nowhere; at = FindSlot(@object, bucket))
        {
            lost = (uint)_entries[~at];
            RemoveAt(~at);
        }

        if (at >= 0) return (uint)_entries[at];
        Lost = lost;
        return 0;
    }

    /// <summary>The hash of the bucket that a page's entry names; false if it is not the one that it was put here for.</summary>
    private bool TryHash(ulong entry, out ulong hash)
    {
        var key = _segment.PageAt((uint)entry);
        hash = Hash(key->Object, key->Bucket);
        return ((entry ^ Tag(hash)) & ~Referenced) >> 32 == 0;
    }

    /// <summary>The slot of a bucket; <see cref="Nowhere"/>; or the complement of the slot whose page was the bucket's before its entry was damaged.</summary>
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
            if (entry == 0) return Nowhere;
            if (((entry ^ tag) & ~Referenced) >> 32 == 0)
            {
                if (Matches((uint)entry, @object, bucket)) return at;
                // Another bucket with the same tag says so in its page's entry.
                if (!TryHash(entry, out _)) return ~at;
            }

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
