using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;

namespace Archipelago.Xseg.Recovery;

/// <summary>
/// Repair of a segment that no process serves. Nobody waits for a request any more, so all slots and their pages are free; the
/// cached pages are what may hold somebody's data, and they stay, but for older ones of a bucket. Repeatable at any point.
/// </summary>
internal static unsafe class FsckRepair
{
    internal static int Run(Segment segment, bool discardDirty, ReadOnlySpan<byte> cache)
    {
        int repaired = segment.RepairHeader();
        for (uint number = 0; number < segment.SlotCount; number++)
        {
            var slot = segment.SlotAt(number);
            var word = new SlotWord(slot->Word);
            if (word.State == SlotState.Free) continue;
            Shared.Store(ref slot->Word, new SlotWord(SlotState.Free, 0, word.Generation + 1).Value);
            repaired++;
        }

        // Before the pages: whose they are is sorted out.
        repaired += PortRepair.Run(segment, cache);
        repaired += RouteTable.DropDamaged(segment);
        if (discardDirty) repaired += DiscardLost(segment);
        repaired += RepairPages(segment, discardDirty);
        for (int port = 0; port < segment.PortCount; port++)
        {
            var entry = segment.PortAt(port);
            if (entry->SlotHighWater > segment.SlotsPerPort)
            {
                Shared.Store(ref entry->SlotHighWater, (uint)segment.SlotsPerPort);
                repaired++;
            }

            // Its requests are gone now: it has left as if in order. What it cached is found by its name.
            if (entry->State != (uint)PortState.Bound) continue;
            bool transient = (entry->Flags & (uint)PortFlags.Transient) != 0;
            Shared.Store(ref entry->State, (uint)(transient ? PortState.Free : PortState.Left));
            repaired++;
        }

        return repaired;
    }

    /// <summary>Frees the cached pages that no cache will destage, and the entries of objects that have no name.</summary>
    private static int DiscardLost(Segment segment)
    {
        int discarded = 0;
        var scan = new FsckScan(segment);
        // While their pages still tell.
        var strays = scan.WithoutOwner();
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var entry = segment.PageAt(page);
            if (new PageWord(entry->Word).State != PageState.Cache || !scan.IsLost(*entry)) continue;
            Free(segment, page);
            discarded++;
        }

        for (uint index = 1; index < segment.ObjectCount; index++)
        {
            var entry = segment.ObjectAt(index);
            if ((byte)entry->Word == 0 || (scan.HasName(index) && !strays.Contains(index))) continue;
            Shared.Store(ref entry->Word, ((entry->Word >> 32) + 1) << 32);
            discarded++;
        }

        return discarded;
    }

    private static int RepairPages(Segment segment, bool discardDirty)
    {
        int repaired = 0;
        var newest = new Dictionary<(uint, ushort), uint>();
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var entry = segment.PageAt(page);
            var word = new PageWord(entry->Word);
            if (word.State is PageState.Common or PageState.Quarantine) continue;
            // Perhaps a bucket's, and the only copy of it.
            if (!discardDirty && MayBeDirty(segment, entry)) continue;
            // Given up only by name; and nobody knows how new it is, so it says nothing of others either.
            if (word.State == PageState.Cache && SectorMasks.From(entry->Masks).Mark == SectorMasks.Quarantined) continue;
            if (word.State == PageState.Cache && word.Owner < (uint)segment.PortCount)
            {
                var bucket = (entry->Object, entry->Bucket);
                if (newest.TryAdd(bucket, page)) continue;
                uint other = newest[bucket];
                bool isNewer = entry->Sequence > segment.PageAt(other)->Sequence;
                if (isNewer) newest[bucket] = page;
                Free(segment, isNewer ? other : page);
                repaired++;
                continue;
            }

            // Shares are taken anew when ports bind: only the others count as repaired.
            if (word.State != PageState.Free) repaired++;
            Free(segment, page);
        }

        return repaired;
    }

    /// <summary>True if the word does not say what the page is, and the rest of the entry that it was dirty, or nothing either.</summary>
    internal static bool MayBeDirty(Segment segment, PageEntry* entry) => segment.IsSenseless(entry->Word) && (entry->Word == 0 || entry->IsUnstable);

    private static void Free(Segment segment, uint page)
    {
        var entry = segment.PageAt(page);
        Shared.Store(ref entry->Word, new PageWord(PageState.Common, 0, new PageWord(entry->Word).Generation).Value);
    }
}
