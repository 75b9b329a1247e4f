using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>What a flow misses, given up by request.</summary>
internal sealed unsafe partial class Store
{
    /// <summary>
    /// Nothing of what the flow has lost is missed any more: pages of which nobody knows whose they are, orphans, changes that went around the
    /// cache, failed destages. Its objects' pages are forgotten already.
    /// </summary>
    internal void ForgetLosses(FlowState flow)
    {
        if (_orphans != null) ForgetOrphans(flow);
        if (flow.LostPages > 0) RetireQuarantined(flow);
        // What nothing names: an entry of the page table that was damaged twice.
        long named = 0;
        foreach (var of in Objects.All())
            if (of.Flow == flow) named += of.LostPages;
        CountLost(flow, (int)(named - flow.LostPages));
        (flow.DestageError, flow.AroundSettled, flow.LossesTold) = (0, flow.Around, flow.Losses);
        var entry = _segment.FlowAt(flow.Index);
        if (entry->FlushOwed != 0) Shared.Store(ref entry->FlushOwed, (byte)0);
        if (entry->Degraded != 0) Shared.Store(ref entry->Degraded, (byte)0);
    }

    /// <summary>Pages in quarantine of which no object is known, see <see cref="Quarantine"/>.</summary>
    private void RetireQuarantined(FlowState flow)
    {
        for (uint page = 1; page < _segment.PageCount; page++)
        {
            var entry = *_segment.PageAt(page);
            if ((uint)entry.Word == _cachedHere && entry.Object == 0 && entry.Flow == (ushort)flow.Index && entry.Masks >> 24 == SectorMasks.Quarantined) _port.Limbo.Retire(page);
        }
    }

    private void ForgetOrphans(FlowState flow)
    {
        foreach (var orphan in _orphans!.ToArray())
        {
            for (int i = orphan.Pages.Count - 1; i >= 0; i--)
            {
                var (page, of, isLost) = orphan.Pages[i];
                if (FlowOf(of) != flow) continue;
                var entry = _segment.PageAt(page);
                orphan.Pages.RemoveAt(i);
                if (isLost) CountLost(flow, -1);
                if ((uint)entry->Word == _cachedHere && entry->Object == orphan.Entry) _port.Limbo.Retire(page);
            }

            if (orphan.Pages.Count > 0) continue;
            Forget(orphan);
            Table.RemoveOwn(orphan.Entry);
        }
    }
}
