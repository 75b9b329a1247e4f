using System.Runtime.CompilerServices;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Vlmcd.Maps;
using Archipelago.Vlmcd.Volumes;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Data;

/// <summary>
/// READ, WRITE, FLUSH, DISCARD and WRITE_ZEROES of a volume that is loaded: one child per object, on the parent's own pages. A request
/// within one object that the next peer answers at once is a plain call; nothing here allocates per request.
/// </summary>
internal sealed partial class DataPath(PeerContext context, Route blocks, VlmcdOptions options, VlmcdStatistics statistics)
{
    private const ulong NotCounted = ulong.MaxValue;

    /// <summary>Children under way.</summary>
    internal int InFlight { get; private set; }

    /// <summary>Serves a request of <paramref name="volume"/>, which is ready and whose flow is the request's.</summary>
    internal ValueTask<int> Run(in Request request, XsegOp op, Volume volume)
    {
        statistics.Requests++;
        if (op == XsegOp.Flush) return Single(request, op, volume, 0, 0);
        if (volume.IsReadOnly && op != XsegOp.Read) return new ValueTask<int>(Errno.EROFS);
        ulong offset = request.Offset, length = request.Length;
        if (((offset | length) & 511) != 0) return new ValueTask<int>(Errno.EINVAL);
        if (length > volume.Size || offset > volume.Size - length)
            return new ValueTask<int>(op is XsegOp.Write or XsegOp.WriteZeroes ? Errno.ENOSPC : Errno.EINVAL);
        if (length > RequestSlot.MaxData && op is XsegOp.Read or XsegOp.Write) return new ValueTask<int>(Errno.EFBIG);
        if (length == 0)
        {
            request.Serviced = 0;
            return new ValueTask<int>(0);
        }

        if (offset >> volume.Shift == (offset + length - 1) >> volume.Shift) return Single(request, op, volume, offset, length);
        statistics.Splits++;
        return Split(request, op, volume, offset, length);
    }

    private ValueTask<int> Single(in Request request, XsegOp op, Volume volume, ulong offset, ulong length)
    {
        if (!context.Port.TryAllocate(out var child)) return Split(request, op, volume, offset, length);
        var filled = TryFill(child, request, op, volume, offset, length, 0);
        switch (filled)
        {
            case Filled.NeedsMap:
                context.Free(child);
                return Split(request, op, volume, offset, length);
            case Filled.Bad:
                context.Free(child);
                return new ValueTask<int>(context.BadRequest());
            case Filled.Damaged:
                context.Free(child);
                return new ValueTask<int>(Errno.EIO);
            case Filled.Zeros:
                context.Free(child);
                request.Serviced = length;
                return new ValueTask<int>(0);
        }

        volume.Begin();
        InFlight++;
        ulong reading = filled == Filled.ReadyCounted ? offset >> volume.Shift : NotCounted;
        var outcome = blocks.SubmitAsync(child);
        return outcome.IsCompleted && MissingLayer(op, volume, child, outcome.Result) == 0
            ? new ValueTask<int>(Conclude(request, child, op, volume, length, reading, outcome.Result))
            : ConcludeLater(request, child, op, volume, length, reading, outcome);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> ConcludeLater(Request request, Request child, XsegOp op, Volume volume, ulong length, ulong reading, ValueTask<int> outcome)
    {
        int status = await outcome;
        ulong missing = MissingLayer(op, volume, child, status);
        if (missing == 0) return Conclude(request, child, op, volume, length, reading, status);
        volume.Begin();
        status = Conclude(request, child, op, volume, length, reading, status);
        ulong offset = request.Offset;
        int confirmed = await volume.Map.ConfirmHoleAsync(offset >> volume.Shift, missing);
        if (confirmed == Errno.EAGAIN) status = await Split(request, op, volume, offset, length);
        else if (confirmed != 0) (request.Serviced, status) = (0, confirmed);
        volume.End();
        return status;
    }

    /// <summary>
    /// Not 0: a READ found nothing where the map says that an object of this layer is, or may be. Unless the layer is the reader's own, it may have been removed since the
    /// map was read, by another host, or behind a FLATTEN: only the map as it is now tells whether zeros, or an error, are the truth.
    /// </summary>
    private static ulong MissingLayer(XsegOp op, Volume volume, in Request child, int status) =>
        op == XsegOp.Read && (status == Errno.EIO || (status == 0 && (child.Reply & ReplyFlags.Missing) != 0)) && LayerName.TryParse(child.Target, out _, out ulong layer, out _)
        && (volume.IsReadOnly || volume.Map.MayMove(layer))
            ? layer
            : 0;

    private int Conclude(in Request request, in Request child, XsegOp op, Volume volume, ulong length, ulong reading, int status)
    {
        if (reading != NotCounted) volume.Map.EndRead(reading);
        status = Take(child, op, length, status, out ulong serviced, out var reply);
        request.Serviced = serviced;
        request.Reply = reply;
        volume.End();
        return status;
    }

    /// <summary>Takes a child's answer and frees it.</summary>
    private int Take(in Request child, XsegOp op, ulong length, int status, out ulong serviced, out ReplyFlags reply)
    {
        // What a DELETE or DISCARD calls serviced is its own; a READ or WRITE that is short has failed.
        serviced = op is XsegOp.Read or XsegOp.Write ? Math.Min(child.Serviced, length) : status == 0 ? length : 0;
        reply = op is XsegOp.Read or XsegOp.Flush ? ReplyFlags.None : child.Reply & ReplyFlags.Stable;
        if (status == 0 && serviced != length) status = Errno.EIO;
        InFlight--;
        context.Free(child);
        return status;
    }
}
