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
internal sealed class ObjectOps(PeerContext context, Store store, Destager destager, FlushPath flushes, Room room, Route blocks)
{
    /// <summary>The policy that holds for a flow now.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal unsafe CachePolicy PolicyOf(uint flow)
    {
        var entry = context.Segment.FlowAt(flow);
        if (entry == null) return CachePolicy.WriteThrough;
        if (entry->Uncached != 0) return CachePolicy.Off;
        if (entry->Namespace != FlowSpace.Data) return PolicyOfSpace(entry->Namespace, (CachePolicy)entry->Policy);
        var policy = (CachePolicy)entry->Policy;
        if (policy is CachePolicy.Default or > CachePolicy.Off) policy = store.Options.DefaultPolicy;
        if (policy != CachePolicy.WriteBack) return policy;
        return entry->Degraded != 0 || (entry->SafeUntilFlush != 0 && entry->HasFlushed == 0) ? CachePolicy.WriteThrough : policy;
    }

    /// <summary>Images and maps are kept or not; they are never dirty longer than a write takes.</summary>
    internal CachePolicy PolicyOfSpace(byte space, CachePolicy own)
    {
        var options = store.Options;
        if (own is CachePolicy.Default or > CachePolicy.Off) own = space == FlowSpace.Shared ? options.ImagesPolicy : options.MapsPolicy;
        if (own == CachePolicy.Default) own = options.DefaultPolicy;
        return own == CachePolicy.Off ? CachePolicy.Off : CachePolicy.WriteThrough;
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
        if (length > RequestSlot.MaxData || (ranged && offset > RequestSlot.MaxData - length)) return XsegErrno.EFBIG;
        var (of, status) = await FindOrAddAsync(request);
        if (of == null) return status;
        if (!Store.IsNamed(request, of)) return context.BadRequest();
        // What is deleted need not be brought down first: a full blocker could never be emptied.
        status = op == XsegOp.Delete ? await HoldDirtyAsync(of) : await HoldAsync(of);
        bool existed = of.DirtyPages + of.LostPages > 0;
        var (start, end) = op switch
        {
            XsegOp.Truncate => ((long)length, (long)RequestSlot.MaxData),
            XsegOp.Delete => (0L, (long)RequestSlot.MaxData),
            _ => ((long)offset, (long)(offset + length)),
        };
        long failures = store.FlowOf(request.Flow).FlushFailures;
        if (status == 0) status = await ForwardOverAsync(request, of, start, end);
        if (status == 0)
        {
            if (end > start) store.Drop(of, start, end);
            if (op == XsegOp.Delete && existed) request.Serviced = 1;
            if (!ranged) store.SetExists(of, op == XsegOp.Delete ? Existence.Missing : Existence.Yes);
            if ((request.Reply & ReplyFlags.Stable) == 0) store.NoteAround(store.FlowOf(request.Flow), failures);
        }

        Leave(of);
        return status;
    }

    /// <summary>HASH: of what the blocker has once it has everything.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> HashAsync(Request request)
    {
        var of = store.FindNamed(request, out int status);
        if (of == null) return status != 0 ? status : await ForwardAsync(request);
        status = await HoldAsync(of);
        if (status == 0 && of.LostPages > 0) status = XsegErrno.EIO;
        if (status == 0) status = await ForwardAsync(request);
        Leave(of);
        return status;
    }

    /// <summary>INFO: the size is where the blocker's, or the last dirty sector here, ends.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> InfoAsync(Request request)
    {
        // Asked before the blocker is: what a pass brings down meanwhile may come too late for its answer.
        var of = store.FindNamed(request, out int status);
        if (status != 0 || of is { LostPages: > 0 }) return XsegErrno.EIO;
        long dirtyEnd = of == null ? 0 : DirtyEnd(of);
        if (of != null) store.Release(of);
        status = await ForwardAsync(request);
        if (dirtyEnd == 0 || status is not (0 or XsegErrno.ENOENT)) return status;
        request.Serviced = Math.Max(status == 0 ? request.Serviced : 0, (ulong)dirtyEnd);
        return 0;
    }

    /// <summary>RELEASE: nothing of the flow may come later than the lock goes.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> ReleaseAsync(Request request)
    {
        int status = await flushes.FlushAsync(store.FlowOf(request.Flow));
        return status != 0 ? status : await ForwardAsync(request, SlotUse.Own);
    }

    /// <summary>
    /// A read that the cache does not keep: of a flow that is not cached, or of an object of another flow, or too large for this
    /// cache. It needs to see what was written before it, no more.
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> ReadAroundAsync(Request request)
    {
        var of = store.FindNamed(request, out int status);
        if (of == null) return status != 0 ? status : await ForwardAsync(request);
        of.Users++;
        ulong offset = request.Offset, end = Math.Min(offset + request.Length, RequestSlot.MaxData);
        status = await destager.CleanAsync(of, false);
        if (status == 0 && store.IsLost(of, offset, end)) status = XsegErrno.EIO;
        if (status == 0) status = await ForwardAsync(request);
        of.Users--;
        store.Release(of);
        return status;
    }

    /// <summary>A write that the cache does not keep.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> WriteAroundAsync(Request request)
    {
        ulong offset = request.Offset, length = request.Length;
        var (of, status) = await FindOrAddAsync(request);
        if (of == null) return status;
        if (!Store.IsNamed(request, of)) return context.BadRequest();
        status = await HoldAsync(of);
        if (status == 0)
        {
            long failures = store.FlowOf(request.Flow).FlushFailures;
            status = await ForwardOverAsync(request, of, (long)offset, (long)(offset + length));
            // An object of another flow is given up, to be that one's from now on.
            if (of.Flow.Index != request.Flow) store.DropStable(of);
            if (status == 0)
            {
                store.Drop(of, (long)offset, (long)(offset + length));
                store.SetExists(of, Existence.Yes);
            }

            if ((request.Reply & ReplyFlags.Stable) == 0) store.NoteAround(store.FlowOf(request.Flow), failures);
        }

        Leave(of);
        return status;
    }

    /// <summary>Learns from the blocker whether an object exists of which the cache knows nothing but stable pages.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> ProbeAsync(CachedObject of)
    {
        var child = await context.AllocateAsync(SlotUse.Forward);
        int status = store.TryPrepare(child, XsegOp.Info, of, 0, 0) ? await blocks.SubmitAsync(child) : XsegErrno.EIO;
        context.Free(child);
        if (of.Exists == Existence.Unknown && status is 0 or XsegErrno.ENOENT) store.SetExists(of, status == 0 ? Existence.Yes : Existence.Missing);
        return status == XsegErrno.ENOENT ? 0 : status;
    }

    /// <summary>
    /// Has the blocker change the bytes [start, end) of an object that this request holds. Whatever becomes of it, the cache and
    /// the blocker do not come to say different things (see <see cref="Store.Redirty"/>).
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> ForwardOverAsync(Request request, CachedObject of, long start, long end)
    {
        // What never changes again is never dirty. It is this flow's now: its images are not.
        if (store.IsShared(of)) store.GiveTo(of, request.Flow);
        // Zeros of an object that does not exist must not bring it into being.
        if (of.Exists == Existence.Missing) store.DropStable(of);
        else store.Redirty(of, start, end);
        int status = await ForwardAsync(request);
        if (status != 0) store.Doubt(of, start, end);
        return status;
    }

    /// <summary>Passes a request on to the blocker as it is, with its pages, and takes the answer over.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> ForwardAsync(Request request, SlotUse use = SlotUse.Forward)
    {
        var child = await context.AllocateAsync(use);
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
                return context.BadRequest();
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

    /// <summary>The object of a request, made if need be; waits while the table is full. Null with an errno if the request lies.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<(CachedObject? Object, int Status)> FindOrAddAsync(Request request)
    {
        while (true)
        {
            var found = store.FindOrAdd(request, request.Flow, out int status);
            if (found != null || status != XsegErrno.EAGAIN) return (found, status);
            await room.WaitAsync();
        }
    }

    /// <summary>
    /// Takes the object for this request, with everything of it in the blocker and nothing on the way there. With an errno,
    /// after a failed pass, it is taken all the same; in any case give it back with <see cref="Leave"/>.
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> HoldAsync(CachedObject of)
    {
        await EnterAsync(of);
        int status = 0;
        // More than once where a FLUSH fails meanwhile, which makes written pages dirty again.
        while (status == 0 && (of.DirtyPages > 0 || of.InPass)) status = await destager.CleanAsync(of, false);
        of.Held = status == 0;
        return status;
    }

    /// <summary>As <see cref="HoldAsync"/>, but what is dirty stays here.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> HoldDirtyAsync(CachedObject of)
    {
        await EnterAsync(of);
        of.Held = true;
        // Whether that pass fails is not this request's matter.
        _ = await destager.PassEndAsync(of);
        return 0;
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> EnterAsync(CachedObject of)
    {
        of.Users++;
        while (of.Exclusive) await WaitUntilFreeAsync(of);
        of.Exclusive = true;
        return 0;
    }

    internal void Leave(CachedObject of)
    {
        (of.Exclusive, of.Held) = (false, false);
        // Whoever is woken may be done at once, and wake the others from within.
        for (int waiting = of.ExclusiveWaiters?.Count ?? 0; waiting > 0 && of.ExclusiveWaiters!.TryDequeue(out var turn); waiting--) turn.Set(true);
        destager.Resume(of);
        // Last: those who were woken may be done with it by now.
        of.Users--;
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
