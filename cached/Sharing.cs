using System.Runtime.CompilerServices;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Layout;

namespace Archipelago.Cached;

/// <summary>
/// Who may read what the cache has of an object. A flow reads its own; what it says never changes again it also reads from the flow
/// of all; and of what another flow has nothing is believed, for another host may have owned that volume meanwhile.
/// </summary>
internal sealed class Sharing(Store store, ObjectOps objects, FlushPath flushes)
{
    /// <summary>True if a reader of a flow may be answered from an object's pages, and fill it.</summary>
    internal bool IsFor(uint flow, bool shared, CachedObject of)
    {
        if (!shared) return of.Flow.Index == flow;
        return store.IsShared(of) || (of.Flow.Index == flow && objects.PolicyOf(flow) != CachePolicy.Off);
    }

    /// <summary>
    /// Has an object given up by the flow that has it, once everything of it is stable in the blocker. It stays as it is, with 0, where
    /// that flow's pages are lost, or are dirty again because another's FLUSH failed. The caller uses the object.
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> TakeAsync(CachedObject of, uint flow)
    {
        int status = await objects.HoldAsync(of);
        if (status == 0 && of.Flow.Index != flow && store.HasUnstable(of)) status = await flushes.StabilizeAsync(of.Flow);
        // Another may have taken it while this one waited.
        if (status == 0 && of.Flow.Index != flow && of.LostPages == 0 && !store.HasUnstable(of)) store.GiveTo(of, flow);
        objects.Leave(of);
        return status;
    }
}
