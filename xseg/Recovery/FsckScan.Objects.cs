using Archipelago.Xseg.Layout;

namespace Archipelago.Xseg.Recovery;

/// <summary>Entries of the object table against the dirty pages that name them: each says whose it is, and of which flow.</summary>
internal sealed unsafe partial class FsckScan
{
    /// <summary>What the pages of an object say.</summary>
    private struct Named
    {
        /// <summary>Pages that the blocker does not hold stably.</summary>
        internal int Unstable;
        /// <summary>A page, any, has the entry's flow; one is of the port that the entry says.</summary>
        internal bool FlowAgrees, OwnerAgrees;
        /// <summary>Flow and port of one of the unstable ones.</summary>
        internal uint Flow, Owner;
    }

    private readonly Dictionary<uint, Named> _named = [];

    /// <summary>True if a cached page is not of the port that has its object: that one's cache does not see it, and its own not the object.</summary>
    internal bool IsOfAnotherOwner(in PageEntry entry) => HasName(entry.Object) && OwnerOf(entry.Object) != new PageWord(entry.Word).Owner;

    /// <summary>Entries of the object table that say another owner than all of their pages, some of them dirty.</summary>
    internal List<uint> WithoutOwner()
    {
        for (uint page = 1; page < segment.PageCount; page++)
            if (new PageWord(Volatile.Read(ref segment.PageAt(page)->Word)).State == PageState.Cache) NoteNamed(*segment.PageAt(page));
        return [.. _named.Where(named => named.Value is { Unstable: > 0, OwnerAgrees: false }).Select(named => named.Key)];
    }

    /// <summary>What is in quarantine is reported by itself, and proves nothing.</summary>
    private void NoteNamed(in PageEntry entry)
    {
        if (entry.Object == 0 || entry.Object >= (uint)segment.ObjectCount || SectorMasks.From(entry.Masks).Mark == SectorMasks.Quarantined) return;
        ref var named = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(_named, entry.Object, out _);
        uint owner = new PageWord(entry.Word).Owner;
        named.FlowAgrees |= entry.Flow == segment.ObjectAt(entry.Object)->Flow;
        named.OwnerAgrees |= owner == OwnerOf(entry.Object);
        if (!entry.IsUnstable) return;
        named.Unstable++;
        (named.Flow, named.Owner) = (entry.Flow, owner);
    }

    private void CheckNamed()
    {
        const string Kept = "the cache keeps both, and mends the entry when a request names the object";
        foreach (var (index, named) in _named)
        {
            if (named.Unstable == 0) continue;
            var entry = segment.ObjectAt(index);
            ulong word = Volatile.Read(ref entry->Word);
            string? what = (byte)word != 2 ? $"its word {word:x16} says that it is not in use"
                : !named.OwnerAgrees ? $"it says that it is port {OwnerOf(index)}'s, its pages are port {named.Owner}'s"
                : !named.FlowAgrees ? $"it says flow {entry->Flow}, its pages say flow {named.Flow}"
                : null;
            if (what != null) Add(FsckKind.DamagedTable, 3ul << 32 | index, word, $"object {index} {Name(index)}: {what}; {named.Unstable} of these the blocker may not have: {Kept}");
        }
    }

    private uint OwnerOf(uint index) => (byte)(Volatile.Read(ref segment.ObjectAt(index)->Word) >> 8);
}
