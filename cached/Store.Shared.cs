using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>
/// Objects that never change again (<see cref="RequestFlags.Shared"/>) are cached once, under one flow of the segment, whoever reads
/// them: any slot may read its pages. None of these is ever dirty: who changes such an object takes it away from that flow first.
/// </summary>
internal sealed unsafe partial class Store
{
    /// <summary>No flow has this number.</summary>
    internal const uint NoFlow = uint.MaxValue;
    private const long ShareRetry = 1_000_000_000;
    private long _shareAgainAt;

    /// <summary>The flow of the objects that are shared, or <see cref="NoFlow"/> as long as nobody has asked for one.</summary>
    internal uint SharedFlow { get; private set; } = NoFlow;

    /// <summary>True if the object belongs to all flows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool IsShared(CachedObject of) => of.Flow.Index == SharedFlow;

    /// <summary>As <see cref="SharedFlow"/>, made if need be: <see cref="NoFlow"/> only where the flow table is full.</summary>
    internal uint ShareFlow()
    {
        if (SharedFlow != NoFlow || _context.Reactor.Now < _shareAgainAt) return SharedFlow;
        try
        {
            SharedFlow = FlowTable.FindOrAdd(_segment, FlowTable.SharedName, FlowSpace.Shared);
        }
        catch (XsegException full)
        {
            // Said once; what is shared is read around the cache, until there is a free flow.
            if (_shareAgainAt == 0) _context.Log.LogWarning("images are not cached: {Reason}", full.Message);
            _shareAgainAt = _context.Reactor.Now + ShareRetry;
        }

        return SharedFlow;
    }

    private void FindSharedFlow()
    {
        uint found = FlowTable.Find(_segment, FlowTable.SharedName, FlowSpace.Shared);
        if (found != 0) SharedFlow = found;
    }

    /// <summary>True if a page of the object is not stable in the blocker.</summary>
    internal bool HasUnstable(CachedObject of)
    {
        if (of.DirtyPages > 0) return true;
        for (int bucket = 0, seen = 0; bucket < CachedObject.MaxBuckets && seen < of.Pages; bucket++)
        {
            if (Lookup(of, bucket, false, out var masks, out _) == 0) continue;
            if (masks.Written != 0) return true;
            seen++;
        }

        return false;
    }

    /// <summary>
    /// Makes an object another flow's, without what is cached of it. It must be held, and nothing of it be missed: pages first, so that
    /// the entry never says another flow than a page that names it.
    /// </summary>
    internal void GiveTo(CachedObject of, uint flow)
    {
        Forget(of, Existence.Unknown);
        of.Flow.Unlist(of);
        (of.RetryAt, of.Failures) = (0, 0);
        Table.SetFlow(of.Entry, flow);
        of.Flow.Objects--;
        of.Flow = FlowOf(flow);
        NoteObject(of.Flow);
    }

    /// <summary>That the blocker does not have the object was true once. Zeros are all that is cached of it: it is asked again.</summary>
    internal void ForgetMissing(CachedObject of)
    {
        MoveFills(of, 0, CachedObject.MaxBuckets);
        DropStable(of);
        SetExists(of, Existence.Unknown);
    }

    /// <summary>Forgets all pages of an object, also what is dirty or lost.</summary>
    internal void Forget(CachedObject of, Existence exists)
    {
        Drop(of, 0, RequestSlot.MaxData);
        SetExists(of, exists);
    }
}
