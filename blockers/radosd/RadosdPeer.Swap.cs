using System.Runtime.CompilerServices;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Radosd;

/// <summary>WRITE with COMPARE: one operation of RADOS that compares and writes, whole or not at all, between all its clients.</summary>
public sealed partial class RadosdPeer
{
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> SwapAsync(Request request)
    {
        int status = SwapData.TryRead(request, MaxObject, out var swap);
        if (status != 0) return status == Errno.EBADMSG ? Context.BadRequest() : status;
        ulong length = (ulong)swap.Both.Length;
        var op = Rent(request, writes: true, swap.Offset, swap.Offset + (ulong)swap.Size);
        (op.Offset, op.Length, op.Swap) = (swap.Offset, length, swap);
        if (!_order.Enter(op)) await op.Turn.Task;
        status = await CallAsync(op, RadosCall.Swap, (long)length);
        // Our own bytes are there already, if an earlier execution has written them; asked, and written, in one operation again.
        if (status == Errno.EILSEQ && op.MayHaveRun) status = await CallAsync(op, RadosCall.SwapAgain, (long)length);
        // A comparison creates what is missing, or finds it different.
        if (status is Errno.ENOENT or Errno.EEXIST) status = Failed(op, Errno.EIO);
        if (status == 0)
        {
            request.Reply = ReplyFlags.Stable;
            request.Serviced = length;
        }

        return End(op, status);
    }
}
