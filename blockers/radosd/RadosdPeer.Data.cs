using System.Runtime.CompilerServices;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Radosd;

/// <summary>READ, WRITE and FLUSH.</summary>
public sealed partial class RadosdPeer
{
    private static readonly TimeSpan LenderPause = TimeSpan.FromMilliseconds(1);

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> ReadAsync(Request request)
    {
        ulong offset = request.Offset, length = request.Length;
        if (!InObject(offset, length)) return Errno.EFBIG;
        bool empty = length == 0;
        var op = empty ? Rent(request, writes: false) : Rent(request, writes: false, offset, offset + length);
        (op.Offset, op.Length) = (offset, length);
        if (!_order.Enter(op)) await op.Turn.Task;

        int status = await (empty ? CallAsync(op, RadosCall.Stat) : CallAsync(op, RadosCall.ReadPages, (long)length));
        bool missing = status == Errno.ENOENT;
        if (missing) status = (request.Flags & RequestFlags.MustExist) != 0 ? Errno.EIO : 0;
        if (status == 0 && !empty) status = await FillAsync(op, missing);
        if (status == 0)
        {
            request.Reply = missing ? ReplyFlags.Missing : ReplyFlags.None;
            request.Serviced = length;
        }

        ReturnBuffer(op);
        return End(op, status);
    }

    /// <summary>Brings what was read to the request: into its own pages, or into lent ones as soon as they can be had.</summary>
    private ValueTask<int> FillAsync(RadosOp op, bool missing)
    {
        int status = TryFill(op, missing);
        return status == Errno.EAGAIN ? FillSlowlyAsync(op) : new ValueTask<int>(status);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> FillSlowlyAsync(RadosOp op)
    {
        _admission.Hold((long)op.Length);
        int status = Errno.EAGAIN;
        while (status == Errno.EAGAIN)
        {
            await Context.Reactor.Delay(LenderPause);
            status = TryData(op, out var data) ? Lend(op, data) : Context.BadRequest();
        }

        _admission.Unhold((long)op.Length);
        return status;
    }

    private unsafe int TryFill(RadosOp op, bool missing)
    {
        if (!TryData(op, out var data)) return Context.BadRequest();
        int got = missing ? 0 : op.Result.Length;
        bool lends = !data.HasPages;
        if (lends && got == 0) return Payload.TrySetZeros(data) ? 0 : Context.BadRequest();
        // RADOS reads short at the object's end only.
        new Span<byte>(op.Buffer + got, (int)op.Length - got).Clear();
        if (lends) return op.BufferIsBounce ? Lend(op, data) : Context.BadRequest();
        return !op.BufferIsBounce || Payload.TryScatter(op.Request, data, op.Buffer, op.Offset, op.Length) ? 0 : Context.BadRequest();
    }

    private unsafe int Lend(RadosOp op, in RequestData data)
    {
        int status = Payload.Lend(_lender, op.Request, data, op.Buffer, op.Offset, op.Length);
        return status == Errno.EBADMSG ? Context.BadRequest() : status;
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> WriteAsync(Request request)
    {
        ulong offset = request.Offset, length = request.Length;
        if (!InObject(offset, length)) return Errno.EFBIG;
        bool empty = length == 0;
        var op = empty ? Rent(request, writes: true) : Rent(request, writes: true, offset, offset + length);
        (op.Offset, op.Length) = (offset, length);
        if (!_order.Enter(op)) await op.Turn.Task;
        int status = await (empty ? CallAsync(op, RadosCall.Create) : CallAsync(op, RadosCall.WritePages, (long)length));
        if (status == 0)
        {
            // RADOS acknowledges a write when it is durable on all replicas. Of a spent part only its earlier writer knows.
            request.Reply = AnySpent(request) ? ReplyFlags.None : ReplyFlags.Stable;
            request.Serviced = length;
        }

        return End(op, status);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> FlushAsync(Request request)
    {
        var op = Rent(request);
        if (!_barrier.TryPass(op)) await op.Turn.Task;
        Return(op);
        return 0;
    }

    private static bool InObject(ulong offset, ulong length) => offset <= MaxObject && length <= MaxObject && offset + length <= MaxObject;

    /// <summary>The request's data, if it still is of the length that it had when it was accepted: buffers have that length.</summary>
    private static bool TryData(RadosOp op, out RequestData data) =>
        op.Request.TryData(out data) && data.Count == Request.PagesFor(op.Offset, op.Length);

    private static bool AnySpent(in Request request)
    {
        if (!request.TryData(out var data)) return false;
        for (int i = 0; i < data.Count; i++)
            if (data.Get(i).IsSpent) return true;
        return false;
    }
}
