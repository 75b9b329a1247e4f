using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Tables;

/// <summary>
/// Freeing flows, so that their numbers can be used again. (1) <see cref="Begin"/>: nobody has it open, its word says *retiring*. (2) Caches make stable and forget what
/// they have of it (<see cref="XsegOp.Retire"/>). (3) <see cref="FlowReferences"/>: nothing in the segment names it. (4) <see cref="TryEnd"/>. Whoever finds it by its name in
/// between has it back. A death anywhere leaves a flow that is as it was, or retiring, which whoever comes next goes on with. Control path, under the maintenance lock.
/// </summary>
public static unsafe class FlowRetirement
{
    /// <summary>Flows of volumes that nobody uses, the one first that has been so for longest. Those with a policy of their own are not among them: it would be forgotten.</summary>
    public static List<uint> Unused(Segment segment)
    {
        var found = new List<(ulong UsedAt, uint Flow)>();
        for (uint flow = 1; flow < segment.FlowCount; flow++)
            if (MayGo(segment, flow, isGone: false)) found.Add((segment.FlowAt(flow)->UsedAt, flow));
        found.Sort();
        return found.ConvertAll(one => one.Flow);
    }

    /// <summary>Marks those of some flows as retiring that nobody uses, and returns them. <paramref name="areGone"/>: their volumes are deleted, and their policies do not matter.</summary>
    public static List<uint> Begin(Segment segment, IReadOnlyList<uint> flows, bool areGone = false)
    {
        var begun = new List<uint>();
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            foreach (uint flow in flows)
            {
                if (!MayGo(segment, flow, areGone)) continue;
                Set(segment, flow, FlowTable.Retiring);
                begun.Add(flow);
            }
        }

        return begun;
    }

    /// <summary>Frees a flow that is retiring. False if it is used again, or has something that is to be kept.</summary>
    public static bool TryEnd(Segment segment, uint flow, bool isGone = false)
    {
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            var entry = segment.FlowAt(flow);
            if (entry == null || (uint)Volatile.Read(ref entry->Word) != FlowTable.Retiring || !MayGo(segment, flow, isGone)) return false;
            // Left by the dead: who has their ports next does not have it open.
            Shared.Store(ref entry->Users, 0ul);
            Set(segment, flow, 0);
            return true;
        }
    }

    /// <summary>A flow that was to be freed is not.</summary>
    public static void Abandon(Segment segment, uint flow)
    {
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            Cancel(segment, flow);
        }
    }

    /// <summary>Under the maintenance lock.</summary>
    internal static void Cancel(Segment segment, uint flow)
    {
        if ((uint)Volatile.Read(ref segment.FlowAt(flow)->Word) == FlowTable.Retiring) Set(segment, flow, FlowTable.InUse);
    }

    private static void Set(Segment segment, uint flow, uint state)
    {
        var entry = segment.FlowAt(flow);
        Shared.Store(ref entry->Word, (Volatile.Read(ref entry->Word) & ~(ulong)uint.MaxValue) | state);
    }

    private static bool MayGo(Segment segment, uint flow, bool isGone)
    {
        var entry = flow == 0 ? null : segment.FlowAt(flow);
        return entry != null && (uint)Volatile.Read(ref entry->Word) is FlowTable.InUse or FlowTable.Retiring && entry->Namespace == FlowSpace.Data
            && entry->UsedAt != 0 && entry->FlushOwed == 0 && (isGone || !HasPolicy(entry)) && !FlowUse.IsUsed(segment, entry);
    }

    private static bool HasPolicy(FlowEntry* entry) =>
        entry->Policy != 0 || entry->SafeUntilFlush != 1 || entry->Checksums != 0 || entry->Ordered != 0
        || (entry->MinimumPages | entry->MaximumPages | entry->DirtyLimit | entry->DirtyAge) != 0;
}
