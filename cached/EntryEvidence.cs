using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Cached;

/// <summary>
/// What the pages say of the object table after a restart, where an entry may be damaged: which entries they name, and whether they agree with
/// its flow and its owner; and which pages are this cache's. One pass over the page table, which is only read.
/// </summary>
internal sealed unsafe class EntryEvidence
{
    /// <summary>No cache lives so long; the number after it must not wrap.</summary>
    internal const ulong LastSequence = 1ul << 62;

    [Flags]
    private enum Says : byte
    {
        /// <summary>A page of this cache that the blocker does not hold stably names it.</summary>
        Needed = 1,
        /// <summary>A page of this cache, any, has the entry's flow.</summary>
        FlowAgrees = 2,
        /// <summary>A page of the port that the entry says names it.</summary>
        OwnerAgrees = 4,
        /// <summary>A page of another port that the blocker does not hold stably names it.</summary>
        NeededElsewhere = 8,
    }

    /// <summary>Pages that this cache has.</summary>
    internal readonly List<uint> Pages = [];

    private readonly Segment _segment;
    private readonly Says[] _said;

    internal EntryEvidence(Segment segment, int port)
    {
        (_segment, _said) = (segment, new Says[segment.ObjectCount]);
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var entry = *segment.PageAt(page);
            var word = new PageWord(entry.Word);
            if (word.State != PageState.Cache) continue;
            if (word.Owner == (uint)port) Pages.Add(page);
            if (entry.Object == 0 || entry.Object >= (uint)_said.Length || !IsEvidence(entry)) continue;
            var of = segment.ObjectAt(entry.Object);
            ref var said = ref _said[entry.Object];
            if (word.Owner == (of->Word >> 8 & 0xFF)) said |= Says.OwnerAgrees;
            if (word.Owner != (uint)port) said |= entry.IsUnstable ? Says.NeededElsewhere : 0;
            else said |= (entry.IsUnstable ? Says.Needed : 0) | (entry.Flow == of->Flow ? Says.FlowAgrees : 0);
        }
    }

    /// <summary>True if the entry of a page makes sense by itself.</summary>
    internal static bool IsWhole(in PageEntry entry) => entry.Bucket < CachedObject.MaxBuckets && Store.IsSound(entry.Masks) && entry.Sequence <= LastSequence;

    /// <summary>Also what is in quarantine and says of which bucket it is: its object must know that this bucket is lost.</summary>
    internal static bool IsEvidence(in PageEntry entry) =>
        IsWhole(entry) || (SectorMasks.From(entry.Masks).Mark == SectorMasks.Quarantined && entry.Bucket < CachedObject.MaxBuckets);

    /// <summary>True if data that the blocker may not have would be lost with the entry.</summary>
    internal bool IsNeeded(uint index) => (_said[index] & Says.Needed) != 0;

    /// <summary>True if no page contradicts the flow that an entry of this cache says, or one confirms it.</summary>
    internal bool IsFlowSound(uint index) => (_said[index] & (Says.Needed | Says.FlowAgrees)) != Says.Needed;

    /// <summary>True if only another shard's pages name an entry that says it is this one's: that is not so, and the other one's matter.</summary>
    internal bool IsAnothers(uint index) => (_said[index] & (Says.OwnerAgrees | Says.NeededElsewhere)) == Says.NeededElsewhere;

    /// <summary>Entries that pages of this cache need and that say another owner, of which no page speaks for that one.</summary>
    internal IEnumerable<uint> WithoutOwner(int port)
    {
        for (uint index = 1; index < (uint)_said.Length; index++)
            if ((_said[index] & (Says.Needed | Says.OwnerAgrees)) == Says.Needed && ObjectTable.IsAnothers(WordOf(index), port)) yield return index;
    }

    private ulong WordOf(uint index) => Volatile.Read(ref _segment.ObjectAt(index)->Word);
}
