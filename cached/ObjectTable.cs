using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Cached;

/// <summary>
/// The shard's part of the segment's object table. An entry is claimed by compare-and-swap on its own word, filled, then
/// committed; it is freed only when no page names it. One reactor; several shards share the table.
/// </summary>
internal sealed unsafe class ObjectTable(Segment segment, int port, CachedObject?[] used)
{
    private const ulong Claimed = 1, InUse = 2;
    private uint _cursor;

    /// <summary>Makes an entry; false if the table is full.</summary>
    internal bool TryAdd(ReadOnlySpan<byte> name, in Hash128 hash, uint flow, out uint index)
    {
        for (int tries = segment.ObjectCount; tries > 0; tries--)
        {
            if (++_cursor >= (uint)segment.ObjectCount) _cursor = 1;
            var entry = segment.ObjectAt(_cursor);
            ulong word = Volatile.Read(ref entry->Word);
            // One of ours that is damaged may look free.
            if ((word & 0xFF) != 0 || used[_cursor] != null || !Shared.TrySwap(ref entry->Word, word, Pack(Claimed, word))) continue;
            Fill(entry, name, hash, flow, word);
            index = _cursor;
            return true;
        }

        index = 0;
        return false;
    }

    /// <summary>Fills an entry of ours that is damaged.</summary>
    internal void Rewrite(uint index, ReadOnlySpan<byte> name, in Hash128 hash, uint flow)
    {
        var entry = segment.ObjectAt(index);
        Fill(entry, name, hash, flow, Volatile.Read(ref entry->Word));
    }

    /// <summary>Makes an entry of ours, of which nothing is cached, another flow's.</summary>
    internal void SetFlow(uint index, uint flow) => Shared.Store(ref segment.ObjectAt(index)->Flow, flow);

    /// <summary>Frees an entry.</summary>
    internal void Remove(uint index)
    {
        var entry = segment.ObjectAt(index);
        ulong generation = Volatile.Read(ref entry->Word) >> 32;
        Shared.Store(ref entry->Word, (generation + 1) << 32);
    }

    /// <summary>As <see cref="Remove"/>, unless the entry says that it is another's.</summary>
    internal void RemoveOwn(uint index)
    {
        if (!IsAnothers(Volatile.Read(ref segment.ObjectAt(index)->Word), port)) Remove(index);
    }

    /// <summary>Entries that this shard holds, after a restart: with those that it had only claimed freed.</summary>
    internal List<uint> Recover()
    {
        var found = new List<uint>();
        for (uint index = 1; index < (uint)segment.ObjectCount; index++)
        {
            var entry = segment.ObjectAt(index);
            ulong word = Volatile.Read(ref entry->Word);
            if ((int)(word >> 8 & 0xFF) != port || (word & 0xFFFF) == 0) continue;
            // A freed entry has no owner: this state is damage. At once, before another shard takes the entry for a free one.
            if ((word & 0xFF) is not (InUse or Claimed) && !Shared.TrySwap(ref entry->Word, word, Pack(InUse, word))) continue;
            if ((word & 0xFF) == Claimed) Remove(index);
            else found.Add(index);
        }

        return found;
    }

    /// <summary>True if a word says that the entry is in use by another port.</summary>
    internal static bool IsAnothers(ulong word, int port) => (word & 0xFF) == InUse && (int)(word >> 8 & 0xFF) != port;

    /// <summary>
    /// True if an entry, of which one field is damaged, can have been that of a name: hash or name are the same, or nearly both: half of the hash,
    /// and all bytes of the name but one.
    /// </summary>
    internal bool Resembles(uint index, ReadOnlySpan<byte> name, in Hash128 hash)
    {
        var entry = segment.ObjectAt(index);
        int same = (entry->HashLow == hash.Low ? 1 : 0) + (entry->HashHigh == hash.High ? 1 : 0);
        if (same == 2) return true;
        if (entry->NameLength != (uint)name.Length) return false;
        int others = 0;
        for (int i = 0; i < name.Length; i++)
            if (entry->Name[i] != name[i]) others++;
        return others <= same;
    }

    /// <summary>
    /// Makes a damaged entry that of an object, as it was; false if somebody else takes it. Each store makes one field right, and none wrong: whoever
    /// dies between two leaves what the same name mends again.
    /// </summary>
    internal bool TryMend(uint index, ReadOnlySpan<byte> name, in Hash128 hash, uint flow)
    {
        var entry = segment.ObjectAt(index);
        ulong word = Volatile.Read(ref entry->Word);
        Shared.Store(ref entry->HashLow, hash.Low);
        Shared.Store(ref entry->HashHigh, hash.High);
        Shared.Store(ref entry->Flow, flow);
        Shared.Store(ref entry->NameLength, (uint)name.Length);
        Shared.Copy(name, entry->Name);
        return Shared.TrySwap(ref entry->Word, word, Pack(InUse, word));
    }

    /// <summary>What an entry says, if it makes sense: the hash is the name's, the flow exists.</summary>
    internal bool TryRead(uint index, out Hash128 hash, out uint flow)
    {
        var entry = segment.ObjectAt(index);
        Span<byte> name = stackalloc byte[RequestSlot.MaxTarget];
        uint length = entry->NameLength;
        (hash, flow) = (new Hash128(entry->HashLow, entry->HashHigh), entry->Flow);
        if (length is 0 or > RequestSlot.MaxTarget || flow >= (uint)segment.FlowCount) return false;
        new ReadOnlySpan<byte>(entry->Name, (int)length).CopyTo(name);
        return Hash128.Of(name[..(int)length]) == hash;
    }

    private void Fill(ObjectEntry* entry, ReadOnlySpan<byte> name, in Hash128 hash, uint flow, ulong word)
    {
        Shared.Store(ref entry->HashLow, hash.Low);
        Shared.Store(ref entry->HashHigh, hash.High);
        Shared.Store(ref entry->Flow, flow);
        Shared.Store(ref entry->ObjectSize, ulong.MaxValue);
        Shared.Store(ref entry->Missing, 0u);
        Shared.Store(ref entry->NameLength, (uint)name.Length);
        Shared.Copy(name, entry->Name);
        Shared.Store(ref entry->Word, Pack(InUse, word));
    }

    private ulong Pack(ulong state, ulong word) => state | ((ulong)port << 8) | (word & 0xFFFF_FFFF_0000_0000);
}
