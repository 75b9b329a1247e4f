using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>What reads miss is read from the blocker, and kept unless the bucket has changed meanwhile. One reactor.</summary>
internal sealed class FillPath(PeerContext context, Store store, Room room, Route blocks)
{
    private readonly Stack<Fill> _spare = new();
    // Destaging and forwarded requests need slots too.
    private readonly int _depth = Math.Clamp(store.Options.FillDepth, 1, context.Segment.SlotsPerPort / 4);
    /// <summary>Fills that wait for others to end; not for room, so that they hurry nobody.</summary>
    private readonly Queue<Completion<bool>> _waiting = new();
    private int _fills;

    /// <summary>Has every missing run of buckets filled, by this request or by one that is at it already.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> FillMissingAsync(Request request, CachedObject of, ulong offset, ulong length)
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
            // What never changes again has been removed if it is missing, and stays so: its readers must hear of it, whatever is still cached.
            if (of.Exists == Existence.Unknown || store.IsShared(of)) store.SetExists(of, Existence.Missing);
        }
        else if (!fill.IsMoved(fill.First) && !(of.Exists == Existence.Missing && store.IsShared(of)))
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

    /// <summary>The sectors of a bucket that a range of bytes touches.</summary>
    internal static byte Needed(ulong offset, ulong length, int bucket)
    {
        long start = (long)bucket << 12;
        return SectorMasks.Range((int)Math.Max((long)offset - start, 0), (int)Math.Min((long)(offset + length) - start, 4096));
    }
}
