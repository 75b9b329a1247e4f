using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>
/// Operations on whole objects, and requests that pass the cache by. Each has the object for itself: the dirty pages are
/// brought down, new writes wait, the blocker does its part, then what it changed is dropped here. So no late destage can
/// bring a deleted object back. One reactor.
/// </summary>
internal sealed class ObjectOps(PeerContext context, Store store, Destager destager, FlushPath flushes, Route blocks)
{
    /// <summary>The policy that holds for a flow now.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal unsafe CachePolicy PolicyOf(uint flow)
    {
        var entry = context.Segment.FlowAt(flow);
        if (entry == null) return CachePolicy.WriteThrough;
        var policy = (CachePolicy)entry->Policy;
        if (policy is CachePolicy.Default or > CachePolicy.Off) policy = store.Options.DefaultPolicy;
        if (policy != CachePolicy.WriteBack) return policy;
        return entry->Degraded != 0 || (entry->SafeUntilFlush != 0 && entry->HasFlushed == 0) ? CachePolicy.WriteThrough : policy;
    }

    /// <summary>Completes when nobody has the object for itself any more; ask again then.</summary>
    internal ValueTask<bool> WaitUntilFreeAsync(CachedObject held)
    {
        if (!held.Exclusive) return new ValueTask<bool>(true);
        var turn = new Completion<bool>();
        (held.ExclusiveWaiters ??= new Queue<Completion<bool>>()).Enqueue(turn);
        return turn.Task;
    }

    /// <summary>DISCARD, WRITE_ZEROES, TRUNCATE, DELETE.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> ChangeAsync(Request request)
    {
        var (op, offset, length) = (request.Op, request.Offset, request.Length);
        bool ranged = op is XsegOp.Discard or XsegOp.WriteZeroes;
        if (ranged && ((offset | length) & 511) != 0) return XsegErrno.EINVAL;
        if (op == XsegOp.Truncate && (length & 511) != 0) return XsegErrno.EINVAL;
        if (length > RequestSlot.MaxData || (ranged && offset + length > RequestSlot.MaxData)) return XsegErrno.EFBIG;
        var of = store.FindOrAdd(request, out int status);
        if (of == null) return status;
        await EnterAsync(of);
        status = await destager.CleanAsync(of, false);
        if (status == 0) status = await ForwardAsync(request);
        if (status == 0)
        {
            var (start, end) = op switch
            {
                XsegOp.Truncate => ((long)length, (long)RequestSlot.MaxData),
                XsegOp.Delete => (0L, (long)RequestSlot.MaxData),
                _ => ((long)offset, (long)(offset + length)),
            };
            if (end > start) store.Drop(of, start, end);
            if ((request.Reply & ReplyFlags.Stable) == 0) Store.NoteUnstable(of.Flow);
        }

        Leave(of);
        return status;
    }

    /// <summary>HASH: of what the blocker has once it has everything.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> HashAsync(Request request)
    {
        var of = store.Find(request.Hash);
        if (of == null) return await ForwardAsync(request);
        await EnterAsync(of);
        int status = await destager.CleanAsync(of, false);
        if (status == 0) status = await ForwardAsync(request);
        Leave(of);
        return status;
    }

    /// <summary>INFO: the size is where the blocker's, or the last dirty sector here, ends.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> InfoAsync(Request request)
    {
        // Asked before the blocker is: what a pass brings down meanwhile may come too late for its answer.
        long dirtyEnd = store.Find(request.Hash) is { } of ? DirtyEnd(of) : 0;
        int status = await ForwardAsync(request);
        if (dirtyEnd == 0 || status is not (0 or XsegErrno.ENOENT)) return status;
        request.Serviced = Math.Max(status == 0 ? request.Serviced : 0, (ulong)dirtyEnd);
        return 0;
    }

    /// <summary>COPY: the source is brought down first, then the blocker copies.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> CopyAsync(Request request)
    {
        var sourceHash = Hash128.Of(request.Source);
        if (sourceHash == request.Hash) return XsegErrno.EINVAL;
        var target = store.FindOrAdd(request, out int status);
        if (target == null) return status;
        // Always in the order of the names' hashes: two copies between two objects must not wait for each other.
        var source = store.Find(sourceHash);
        if (source != null) source.Users++;
        target.Users++;
        bool sourceFirst = sourceHash.Low < request.Hash.Low;
        if (source != null && sourceFirst) await EnterAsync(source);
        await EnterAsync(target);
        if (source != null && !sourceFirst) await EnterAsync(source);
        if (source != null) status = await destager.CleanAsync(source, false);
        if (status == 0) status = await destager.CleanAsync(target, false);
        if (status == 0) status = await ForwardAsync(request);
        if (status == 0)
        {
            store.Drop(target, 0, RequestSlot.MaxData);
            Store.NoteUnstable(target.Flow);
        }

        target.Users--;
        Leave(target);
        if (source != null)
        {
            source.Users--;
            Leave(source);
        }

        return status;
    }

    /// <summary>RELEASE: nothing of the flow may come later than the lock goes.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> ReleaseAsync(Request request)
    {
        int status = await flushes.FlushAsync(store.FlowOf(request.Flow));
        return status != 0 ? status : await ForwardAsync(request);
    }

    /// <summary>A read that the cache does not keep: of a flow that is not cached, or too large for this cache.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> ReadAroundAsync(Request request)
    {
        var of = store.Find(request.Hash);
        if (of == null) return await ForwardAsync(request);
        await EnterAsync(of);
        int status = await destager.CleanAsync(of, false);
        if (status == 0) status = await ForwardAsync(request);
        Leave(of);
        return status;
    }

    /// <summary>A write that the cache does not keep.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> WriteAroundAsync(Request request)
    {
        ulong offset = request.Offset, length = request.Length;
        var of = store.FindOrAdd(request, out int status);
        if (of == null) return status;
        await EnterAsync(of);
        status = await destager.CleanAsync(of, false);
        if (status == 0) status = await ForwardAsync(request);
        // Also what failed may be in the blocker in part.
        store.Drop(of, (long)offset, (long)(offset + length));
        if ((request.Reply & ReplyFlags.Stable) == 0) Store.NoteUnstable(of.Flow);
        Leave(of);
        return status;
    }

    /// <summary>Passes a request on to the blocker as it is, with its pages, and takes the answer over.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> ForwardAsync(Request request)
    {
        var child = await context.AllocateAsync();
        var port = context.Port;
        port.Prepare(child, request.Op, request.Flow, request.Target, request.Hash, request.Offset, request.Length, request.Flags);
        port.SetParent(child, request);
        if (request.Source.Length > 0) port.SetSource(child, request.Source);
        request.Result.CopyTo(child.Result);
        if (request.Op is XsegOp.Read or XsegOp.Write)
        {
            if (!request.TryData(out var data))
            {
                context.Free(child);
                port.CountBadRequest();
                return XsegErrno.EBADMSG;
            }

            port.Borrow(child, data, 0);
        }

        int status = await blocks.SubmitAsync(child);
        request.Serviced = child.Serviced;
        request.Reply = child.Reply;
        child.Result.CopyTo(request.Result);
        context.Free(child);
        return status;
    }

    /// <summary>Drops everything of a flow that is clean by now; for a change of policy to "off".</summary>
    internal void DropFlow(FlowState flow)
    {
        foreach (var of in store.Objects.All().Where(of => of.Flow == flow && of.DirtyPages == 0 && !of.InPass && !of.Exclusive).ToList())
        {
            store.Drop(of, 0, RequestSlot.MaxData);
            store.Release(of);
        }
    }

    private async ValueTask EnterAsync(CachedObject of)
    {
        of.Users++;
        while (of.Exclusive) await WaitUntilFreeAsync(of);
        of.Exclusive = true;
    }

    private void Leave(CachedObject of)
    {
        of.Exclusive = false;
        of.Users--;
        for (int waiting = of.ExclusiveWaiters?.Count ?? 0; waiting > 0; waiting--) of.ExclusiveWaiters!.Dequeue().Set(true);
        store.Release(of);
    }

    private long DirtyEnd(CachedObject of)
    {
        int bucket = of.LastDirty();
        if (bucket < 0) return 0;
        store.Lookup(of, bucket, false, out var masks, out _);
        return ((long)bucket << 12) + ((32 - System.Numerics.BitOperations.LeadingZeroCount((uint)masks.Dirty)) << 9);
    }
}
