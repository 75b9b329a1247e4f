using System.Runtime.CompilerServices;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Radosd;

/// <summary>DISCARD, WRITE_ZEROES, TRUNCATE, DELETE and INFO: all of them in the order of the whole object.</summary>
public sealed partial class RadosdPeer
{
    /// <summary>
    /// Zeroes a range without changing the size, but that WRITE_ZEROES beyond the end extends. The size must be known first,
    /// because a zero at the end cuts; nobody else of this peer changes it meanwhile.
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> ClearAsync(Request request)
    {
        ulong offset = request.Offset, length = request.Length;
        bool extends = request.Op == XsegOp.WriteZeroes;
        if (!InObject(offset, length)) return Errno.EFBIG;
        var op = Rent(request, writes: true);
        if (!_order.Enter(op)) await op.Turn.Task;
        int status = await CallAsync(op, RadosCall.Stat);
        if (status == 0 && PrepareClear(op, offset, length, extends)) status = await CallAsync(op, RadosCall.Clear);
        // A missing object reads as zeros, and stays missing.
        if (status == Errno.ENOENT) status = 0;
        if (status == 0)
        {
            request.Serviced = length;
            request.Reply = ReplyFlags.Stable;
        }

        return End(op, status);
    }

    /// <summary>What is to be done to an object of the size just learnt; false if nothing is.</summary>
    private static bool PrepareClear(RadosOp op, ulong offset, ulong length, bool extends)
    {
        ulong size = op.Result.ObjectSize, end = offset + length;
        (op.Offset, op.Length) = (offset, offset < size ? Math.Min(end, size) - offset : 0);
        op.NewSize = end > size && extends ? end : end >= size && offset < size ? size : null;
        return length > 0 && (op.Length > 0 || op.NewSize != null);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> TruncateAsync(Request request)
    {
        ulong size = request.Length;
        if (size > MaxObject) return Errno.EFBIG;
        var op = Rent(request, writes: true);
        op.Length = size;
        if (!_order.Enter(op)) await op.Turn.Task;
        int status = await CallAsync(op, RadosCall.Resize);
        if (status == 0)
        {
            request.Serviced = size;
            request.Reply = ReplyFlags.Stable;
        }

        return End(op, status);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> DeleteAsync(Request request)
    {
        var op = Rent(request, writes: true);
        if (!_order.Enter(op)) await op.Turn.Task;
        int status = await CallAsync(op, RadosCall.Remove);
        if (status is 0 or Errno.ENOENT)
        {
            request.Serviced = status == 0 ? 1u : 0u;
            request.Reply = ReplyFlags.Stable;
            status = 0;
        }

        return End(op, status);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> InfoAsync(Request request)
    {
        var op = Rent(request, writes: false);
        if (!_order.Enter(op)) await op.Turn.Task;
        int status = await CallAsync(op, RadosCall.Stat);
        if (status == 0) request.Serviced = op.Result.ObjectSize;
        return End(op, status);
    }
}
