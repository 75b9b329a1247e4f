using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>
/// READ: a hit lends the buckets' pages; a miss has the missing runs filled first. One reactor.
/// </summary>
internal sealed class ReadPath(PeerContext context, Store store, Room room, ObjectOps objects, Sharing sharing, Route blocks)
{
    private const ulong SectorMask = 511;
    private const int Attempts = 3;
    /// <summary>Buckets that are looked up together.</summary>
    private const int Ahead = 16;
    private readonly Stack<Fill> _spare = new();
    // Destaging and forwarded requests need slots too.
    private readonly int _depth = Math.Clamp(store.Options.FillDepth, 1, context.Segment.SlotsPerPort / 4);
    /// <summary>Fills that wait for others to end; not for room, so that they hurry nobody.</summary>
    private readonly Queue<Completion<bool>> _waiting = new();
    private int _fills;

    internal ValueTask<int> Handle(Request request)
    {
        ulong offset = request.Offset, length = request.Length;
        if ((request.Flags & RequestFlags.List) != 0) return new ValueTask<int>(XsegErrno.ENOTSUP);
        if (((offset | length) & SectorMask) != 0) return new ValueTask<int>(XsegErrno.EINVAL);
        if (offset > RequestSlot.MaxData || length > RequestSlot.MaxData - offset) return new ValueTask<int>(XsegErrno.EFBIG);
        var found = store.Find(request.Hash);
        if (found != null && ReaderOf(request, found) is { } reader && TryHit(request, found, reader, offset, length, out int status)) return new ValueTask<int>(status);
        return MissAsync(request, offset, length);
    }

    /// <summary>The flow for which a hit is counted, or null if the object's pages are not for this request.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private FlowState? ReaderOf(in Request request, CachedObject of) => of.Flow.Index == request.Flow ? of.Flow : SharerOf(request, of);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private FlowState? SharerOf(in Request request, CachedObject of) =>
        store.IsShared(of) && (request.Flags & RequestFlags.Shared) != 0 ? store.FlowOf(request.Flow) : null;

    /// <summary>Answers from the cache; false if something is missing.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryHit(in Request request, CachedObject of, FlowState reader, ulong offset, ulong length, out int status)
    {
        if (!request.TryData(out var data) || data.Count != Request.PagesFor(offset, length))
        {
            status = context.BadRequest();
            return true;
        }

        status = 0;
        if (of.Exists != Existence.Yes)
        {
            // The answer tells whether the object exists: ask.
            if (of.Exists == Existence.Unknown) return false;
            // Zeros are no answer; and what was missing once may have been made since, by another host.
            if ((request.Flags & RequestFlags.MustExist) != 0) return false;
            request.Reply = ReplyFlags.Missing;
        }

        bool copy = data.HasPages;
        int bucket = (int)(offset >> 12);
        for (int i = 0; i < data.Count; i++, bucket++)
        {
            if (i % Ahead == 0 && data.Count > 1) store.Buckets.Prefetch(of.Entry, bucket, Math.Min(Ahead, data.Count - i));
            uint page = store.Lookup(of, bucket, true, out var masks, out var extent);
            if (page == 0) return false;
            if (masks.Valid != 0xFF && (masks.Valid & Needed(offset, length, bucket)) != Needed(offset, length, bucket)) return false;
            if (copy) status = CopyOut(data, i, page, Needed(offset, length, bucket));
            else if (!data.Set(i, extent)) status = XsegErrno.EBADMSG;
            if (status == 0) continue;
            context.Port.CountBadRequest();
            return true;
        }

        request.Serviced = length;
        reader.Hits++;
        return true;
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> MissAsync(Request request, ulong offset, ulong length)
    {
        uint flow = request.Flow;
        var reader = store.FlowOf(flow);
        reader.Misses++;
        int pages = Request.PagesFor(offset, length);
        bool shared = (request.Flags & RequestFlags.Shared) != 0;
        uint owner = shared ? store.ShareFlow() : flow;
        if (owner == Store.NoFlow || objects.PolicyOf(owner) == CachePolicy.Off || pages > store.Options.Pages / 4) return await objects.ReadAroundAsync(request);
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            var of = store.FindOrAdd(request, owner, out int status);
            if (of == null)
            {
                if (status != XsegErrno.EAGAIN) return status;
                break;
            }

            bool mine = sharing.IsFor(flow, shared, of);
            if (!mine && !shared && !store.IsShared(of)) break;
            of.Users++;
            if (!mine) status = await sharing.TakeAsync(of, owner);
            bool hit = false;
            if (status == 0 && sharing.IsFor(flow, shared, of))
            {
                if (of.Exists == Existence.Missing && (request.Flags & RequestFlags.MustExist) != 0) store.ForgetMissing(of);
                status = await FillMissingAsync(request, of, offset, length);
                if (status == 0 && of.Exists == Existence.Unknown) status = await objects.ProbeAsync(of);
                // Others may have taken it away from this flow meanwhile.
                if (status == 0 && sharing.IsFor(flow, shared, of)) hit = TryHit(request, of, reader, offset, length, out status);
            }

            of.Users--;
            store.Release(of);
            if (hit || status != 0) return status;
        }

        // What was filled is pushed out or written over faster than it can be read.
        return await objects.ReadAroundAsync(request);
    }

    /// <summary>Has every missing run of buckets filled, by this request or by one that is at it already.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> FillMissingAsync(Request request, CachedObject of, ulong offset, ulong length)
    {
        int last = (int)((offset + length + 4095) >> 12);
        for (int bucket = (int)(offset >> 12); bucket < last;)
        {
            if (IsHere(of, bucket, offset, length))
            {
                bucket++;
                continue;
            }

            if (store.IsLost(of, bucket)) return XsegErrno.EIO;
            if (FillAt(of, bucket) is { } other)
            {
                var turn = new Completion<bool>();
                other.Waiters.Add(turn);
                int next = other.First + other.Count;
                await turn.Task;
                bucket = next;
                continue;
            }

            int end = bucket + 1;
            while (end < last && !IsHere(of, end, offset, length) && FillAt(of, end) == null) end++;
            int status = await FillAsync(of, bucket, end - bucket, (request.Flags & RequestFlags.MustExist) != 0);
            if (status != 0) return status;
            bucket = end;
        }

        return 0;
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> FillAsync(CachedObject of, int first, int count, bool mustExist)
    {
        var fill = _spare.Count > 0 ? _spare.Pop() : new Fill();
        fill.Reset(first, count);
        (fill.Next, of.Fills) = (of.Fills, fill);
        while (_fills >= _depth)
        {
            var turn = new Completion<bool>();
            _waiting.Enqueue(turn);
            await turn.Task;
        }

        _fills++;
        Request child;
        bool named;
        while (true)
        {
            // No slot is held while there is no room: destaging, which makes it, needs slots.
            while (!room.HasForRead(count + RequestSlot.MaxIndirect)) await room.WaitAsync();
            child = await context.AllocateAsync();
            var flags = store.IsShared(of) ? RequestFlags.Shared : RequestFlags.None;
            // An object that was only written here need not be there yet.
            if (mustExist && of.DirtyPages == 0 && !of.InPass) flags |= RequestFlags.MustExist;
            named = store.TryPrepare(child, XsegOp.Read, of, (ulong)first << 12, (ulong)count << 12, flags);
            if (!named || context.Port.TryAttachPages(child, payload: true)) break;
            context.Free(child);
            await room.WaitAsync();
        }

        int status = named ? await blocks.SubmitAsync(child) : XsegErrno.EIO;
        if (status == 0 && !TryInsert(child, of, fill)) status = XsegErrno.EBADMSG;
        context.Free(child);
        _fills--;
        Remove(of, fill);
        foreach (var waiter in fill.Waiters) waiter.Set(true);
        fill.Waiters.Clear();
        _spare.Push(fill);
        room.Wake();
        // Not inline: fills that are served by calls would nest.
        if (_waiting.TryDequeue(out var next)) context.Reactor.Post(static turn => ((Completion<bool>)turn!).Set(true), next);
        return status;
    }

    /// <summary>Keeps what was read, but not where the bucket has changed since: the write, or the discard, is newer. False if the slot is damaged.</summary>
    private bool TryInsert(in Request child, CachedObject of, Fill fill)
    {
        // Our own slot does not say any more where the data is.
        if (!child.TryData(out var data) || data.Count != fill.Count || data.RootSlot != child.Slot) return false;
        // Deleting and creating the object moves every bucket.
        if ((child.Reply & ReplyFlags.Missing) != 0)
        {
            if (of.Exists == Existence.Unknown) store.SetExists(of, Existence.Missing);
        }
        else if (!fill.IsMoved(fill.First))
        {
            store.SetExists(of, Existence.Yes);
        }

        for (int i = 0; i < fill.Count; i++)
        {
            int bucket = fill.First + i;
            if (fill.IsMoved(bucket)) continue;
            if (store.Lookup(of, bucket, false, out var masks, out _) != 0 && masks.Valid == 0xFF) continue;
            store.Keep(of, data, i, bucket);
        }

        return true;
    }

    private static void Remove(CachedObject of, Fill fill)
    {
        if (of.Fills == fill)
        {
            of.Fills = fill.Next;
        }
        else
        {
            var before = of.Fills!;
            while (before.Next != fill) before = before.Next!;
            before.Next = fill.Next;
        }

        fill.Next = null;
    }

    private static Fill? FillAt(CachedObject of, int bucket)
    {
        for (var fill = of.Fills; fill != null; fill = fill.Next)
            if (fill.Covers(bucket) && !fill.IsMoved(bucket)) return fill;
        return null;
    }

    private bool IsHere(CachedObject of, int bucket, ulong offset, ulong length)
    {
        if (store.Lookup(of, bucket, false, out var masks, out _) == 0) return false;
        byte needed = Needed(offset, length, bucket);
        return (masks.Valid & needed) == needed;
    }

    private static byte Needed(ulong offset, ulong length, int bucket)
    {
        long start = (long)bucket << 12;
        return SectorMasks.Range((int)Math.Max((long)offset - start, 0), (int)Math.Min((long)(offset + length) - start, 4096));
    }

    /// <summary>For readers that bring pages of their own: only the sectors that they asked for, whatever else the page holds.</summary>
    private unsafe int CopyOut(in RequestData data, int index, uint page, byte sectors)
    {
        if (data.Owned(index, out var extent) == null) return XsegErrno.EBADMSG;
        Store.CopySectors(context.Segment.PageBytes(page), context.Segment.PageBytes(extent.Page), sectors);
        return 0;
    }
}
