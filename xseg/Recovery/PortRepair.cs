using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Recovery;

/// <summary>
/// Repair of the port table, with no peer alive and all slots free. Ports that make no sense become free; dirty pages of a port that has lost
/// its name go to the cache: as they are where it is the cache that has lost its number, in quarantine where it is single pages.
/// </summary>
internal static unsafe class PortRepair
{
    /// <summary>Returns how many things were mended. Without <paramref name="cache"/> ports that have dirty pages are left alone.</summary>
    internal static int Run(Segment segment, ReadOnlySpan<byte> cache)
    {
        long[] dirty = PortFaults.DirtyByPort(segment);
        var nameless = new List<int>();
        for (int port = 0; port < segment.PortCount; port++)
            if (PortFaults.Of(segment, port) != null || PortFaults.IsOrphaned(segment, port, dirty[port])) nameless.Add(port);
        if (nameless.Count == 0) return 0;

        int home = -1, repaired = 0;
        if (!cache.IsEmpty)
        {
            for (int port = 0; port < segment.PortCount; port++)
                if (!nameless.Contains(port) && segment.PortAt(port)->State != (uint)PortState.Free && PortTable.NameOf(segment, port).SequenceEqual(cache)) home = port;
            if (home < 0 && nameless.MaxBy(port => dirty[port]) is var most && dirty[most] > 0)
            {
                home = most;
                Clear(segment, home);
                PortTable.SetName(segment, home, cache);
                Shared.Store(ref segment.PortAt(home)->State, (uint)PortState.Left);
                nameless.Remove(home);
                repaired++;
            }
        }

        foreach (int port in nameless)
        {
            if (dirty[port] > 0 && home < 0) continue;
            if (dirty[port] > 0) repaired += GiveTo(segment, port, home);
            if (segment.PortAt(port)->State == (uint)PortState.Free) continue;
            Clear(segment, port);
            repaired++;
        }

        return repaired;
    }

    /// <summary>The dirty pages of a port that never was a cache's, or is not any more: nobody knows how new they are.</summary>
    private static int GiveTo(Segment segment, int port, int home)
    {
        int given = 0;
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var entry = segment.PageAt(page);
            var word = new PageWord(entry->Word);
            var masks = SectorMasks.From(entry->Masks);
            if (word.State != PageState.Cache || word.Owner != (uint)port || !entry->IsUnstable) continue;
            Shared.Store(ref entry->Masks, masks.InQuarantine().Packed);
            Shared.Store(ref entry->Word, new PageWord(PageState.Cache, (uint)home, word.Generation).Value);
            given++;
        }

        return given;
    }

    private static void Clear(Segment segment, int port)
    {
        var entry = segment.PortAt(port);
        Shared.Store(ref entry->State, (uint)PortState.Free);
        Shared.Copy(new byte[PortEntry.Size], (byte*)entry);
    }
}
