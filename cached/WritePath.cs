using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>
/// WRITE: the payload's pages become the buckets. In write-back that is all; in write-through, and for FUA, the answer waits
/// until the object's destage pass has brought them down, so that both ways write each bucket through one queue.
/// </summary>
internal sealed class WritePath(PeerContext context, Store store, Destager destager, Room room, FlushPath flushes, ObjectOps objects)
{
    private const ulong SectorMask = 511;

    private enum Verdict
    {
        Done,
        NoRoom,
        Held,
        Foreign,
    }

    internal ValueTask<int> Handle(Request request)
    {
        ulong offset = request.Offset, length = request.Length;
        var flags = request.Flags;
        // To compare with what the blocker has would be to have it first.
        if ((flags & RequestFlags.Compare) != 0) return new ValueTask<int>(XsegErrno.ENOTSUP);
        if (((offset | length) & SectorMask) != 0) return new ValueTask<int>(XsegErrno.EINVAL);
        if (offset > RequestSlot.MaxData || length > RequestSlot.MaxData - offset) return new ValueTask<int>(XsegErrno.EFBIG);
        if (length == 0) return new ValueTask<int>(0);
        var policy = objects.PolicyOf(request.Flow);
        int pages = Request.PagesFor(offset, length);
        if (policy == CachePolicy.Off || pages > store.Options.Pages / 4) return objects.WriteAroundAsync(request);
        var verdict = TryWrite(request, offset, length, pages, isItsTurn: false, out int status, out var written);
        bool fua = (flags & RequestFlags.ForceUnitAccess) != 0;
        if (verdict == Verdict.Foreign) return objects.WriteAroundAsync(request);
        if (verdict != Verdict.Done) return WaitAsync(request, offset, length, pages, fua);
        if (status != 0 || (policy == CachePolicy.WriteBack && !fua)) return new ValueTask<int>(status);
        return ThroughAsync(request, written, offset, length, fua);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> WaitAsync(Request request, ulong offset, ulong length, int pages, bool fua)
    {
        int status;
        CachedObject? written;
        while (true)
        {
            (var verdict, status, written) = await TakeTurnAsync(request, offset, length, pages);
            if (verdict == Verdict.Done) break;
            if (verdict == Verdict.Foreign) return await objects.WriteAroundAsync(request);
            await objects.WaitUntilFreeAsync(written!);
        }

        if (status != 0 || (objects.PolicyOf(request.Flow) == CachePolicy.WriteBack && !fua)) return status;
        return await ThroughAsync(request, written, offset, length, fua);
    }

    /// <summary>
    /// Waits for room behind the flow's writes that came before: a large one would else starve, as small ones take what becomes free. Ends
    /// with anything but <see cref="Verdict.NoRoom"/>.
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<(Verdict Verdict, int Status, CachedObject? Written)> TakeTurnAsync(Request request, ulong offset, ulong length, int pages)
    {
        var flow = store.FlowOf(request.Flow);
        long ticket = flow.NextTicket++;
        while (true)
        {
            if (ticket == flow.Serving)
            {
                var verdict = TryWrite(request, offset, length, pages, isItsTurn: true, out int status, out var written);
                // There will be no room before the blocker takes writes again: the guest hears of it rather than hang.
                if (verdict == Verdict.NoRoom && flow.DestageError != 0) (verdict, status) = (Verdict.Done, flow.DestageError);
                if (verdict != Verdict.NoRoom)
                {
                    flow.Serving++;
                    return (verdict, status, written);
                }
            }

            await room.WaitAsync();
        }
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> ThroughAsync(Request request, CachedObject? written, ulong offset, ulong length, bool fua)
    {
        var flow = store.FlowOf(request.Flow);
        if (written == null) return fua ? await flushes.FlushAsync(flow) : 0;
        written.Users++;
        int status;
        while (true)
        {
            long failures = flow.FlushFailures;
            status = await destager.CleanAsync(written, fua);
            if (status == 0 && fua) status = await flushes.StabilizeAsync(flow);
            // Another's FLUSH failed meanwhile, and what was brought down is dirty again.
            if (status != 0 || !fua || failures == flow.FlushFailures) break;
        }

        if (status == 0 && store.IsLost(written, offset, offset + length)) status = XsegErrno.EIO;
        written.Users--;
        store.Release(written);
        if (status != 0) request.Serviced = 0;
        return status;
    }

    /// <summary>Adopts all pages of the request, or none.</summary>
    private Verdict TryWrite(in Request request, ulong offset, ulong length, int pages, bool isItsTurn, out int status, out CachedObject? to)
    {
        var flow = store.FlowOf(request.Flow);
        // What its namespace may not hold goes around the cache.
        if (!store.MayTake(flow, pages))
        {
            (to, status) = (null, 0);
            return Verdict.Foreign;
        }

        // Room first: making it may evict the last page of this very object.
        if ((flow.HasWaitingWrites && !isItsTurn) || !room.HasForWrite(flow, pages))
        {
            (to, status) = (null, 0);
            return Verdict.NoRoom;
        }

        to = store.FindOrAdd(request, request.Flow, out status);
        if (to == null) return status == XsegErrno.EAGAIN ? Verdict.NoRoom : Verdict.Done;
        if (to.Exclusive) return Verdict.Held;
        if (to.Flow.Index != request.Flow || store.IsShared(to)) return Verdict.Foreign;
        status = Adopt(request, to, (long)offset, (long)length, pages);
        if (status == 0) request.Serviced = length;
        // Nothing adopted: a lie, or a replay of what has been destaged and evicted since.
        if (to.Pages == 0)
        {
            store.Release(to);
            to = null;
        }

        return status == XsegErrno.EAGAIN ? Verdict.NoRoom : Verdict.Done;
    }

    private int Adopt(in Request request, CachedObject to, long offset, long length, int pages)
    {
        if (!request.TryData(out var data) || data.Count != pages || !data.HasPages) return context.BadRequest();
        int bucket = (int)(offset >> 12);
        long end = offset + length;
        for (int i = 0; i < pages; i++, bucket++)
        {
            long start = (long)bucket << 12;
            byte sectors = offset <= start && end >= start + 4096
                ? (byte)0xFF
                : SectorMasks.Range((int)Math.Max(offset - start, 0), (int)Math.Min(end - start, 4096));
            var outcome = store.Adopt(to, data, i, bucket, sectors);
            if (outcome == AdoptionOutcome.NotOwned) return store.IsLost(to, bucket) ? XsegErrno.EIO : context.BadRequest();
            // The count of free pages was a hint that failed; what is adopted already is spent when this is tried again.
            if (outcome == AdoptionOutcome.NoFreePage) return XsegErrno.EAGAIN;
        }

        store.FlowOf(request.Flow).Writes++;
        return 0;
    }
}
