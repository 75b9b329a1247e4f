using System.Buffers.Binary;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Maps;

/// <summary>
/// Requests that a peer makes on its own behalf, of objects by name. Written data is stable when it is answered. A control path: it
/// allocates. One reactor.
/// </summary>
/// <param name="context">Of the peer.</param>
/// <param name="route">Where the objects are.</param>
/// <param name="flow">Flow of requests that name none.</param>
public sealed class ObjectIo(PeerContext context, Route route, uint flow)
{
    private static readonly TimeSpan PageRetry = TimeSpan.FromMilliseconds(1);

    /// <summary>Requests under way.</summary>
    public int InFlight { get; private set; }
    /// <summary>Flow of requests that name none.</summary>
    public uint Flow => flow;

    /// <summary>Reads; bytes beyond the object are zeros.</summary>
    public async ValueTask<(int Status, bool Missing)> ReadAsync(byte[] name, ulong offset, Memory<byte> to, RequestFlags flags = RequestFlags.None)
    {
        var request = await PrepareAsync(XsegOp.Read, flow, name, offset, (ulong)to.Length, flags, pages: true);
        int status = await SubmitAsync(request);
        bool missing = (request.Reply & ReplyFlags.Missing) != 0;
        if (status == 0 && !Copy(request, to.Span, write: false)) status = Errno.EBADMSG;
        context.Free(request);
        return (status, missing);
    }

    /// <summary>Writes, stable when done; of <paramref name="ofFlow"/>, or of the peer's own flow.</summary>
    public async ValueTask<int> WriteAsync(byte[] name, ulong offset, Memory<byte> data, uint ofFlow = 0, RequestFlags flags = RequestFlags.ForceUnitAccess)
    {
        var request = await PrepareAsync(XsegOp.Write, ofFlow == 0 ? flow : ofFlow, name, offset, (ulong)data.Length, flags, pages: true);
        int status = Copy(request, data.Span, write: true) ? await SubmitAsync(request) : Errno.EBADMSG;
        if (status == 0 && request.Serviced != (ulong)data.Length) status = Errno.EIO;
        context.Free(request);
        return status;
    }

    /// <summary>Compare and swap of a range, stable when done: EILSEQ if it does not hold <paramref name="expected"/>.</summary>
    public ValueTask<int> SwapAsync(byte[] name, ulong offset, ReadOnlySpan<byte> expected, ReadOnlySpan<byte> desired)
    {
        var both = new byte[expected.Length + desired.Length];
        expected.CopyTo(both);
        desired.CopyTo(both.AsSpan(expected.Length));
        return WriteAsync(name, offset, both, 0, RequestFlags.Compare | RequestFlags.ForceUnitAccess);
    }

    /// <summary>Runs an op without data; the status and what was serviced.</summary>
    public async ValueTask<(int Status, ulong Serviced)> RunAsync(
        XsegOp op, uint ofFlow, ReadOnlyMemory<byte> name, ulong offset = 0, ulong length = 0, RequestFlags flags = RequestFlags.None,
        ReadOnlyMemory<byte> source = default, Memory<byte> result = default, UInt128 identity = default)
    {
        var request = await PrepareAsync(op, ofFlow, name, offset, length, flags, pages: false);
        context.Port.SetIdentity(request, identity);
        if (!source.IsEmpty) context.Port.SetSource(request, source.Span);
        if (!result.IsEmpty)
        {
            request.Result.Clear();
            result.Span.CopyTo(request.Result);
        }

        int status = await SubmitAsync(request);
        ulong serviced = request.Serviced;
        if (!result.IsEmpty) request.Result[..result.Length].CopyTo(result.Span);
        context.Free(request);
        return (status, serviced);
    }

    /// <summary>Passes on a request that brings data, with its pages; the status and what was serviced.</summary>
    public async ValueTask<(int Status, ulong Serviced)> PassAsync(Request parent, ReadOnlyMemory<byte> name, Memory<byte> result, UInt128 identity)
    {
        var request = await PrepareAsync(parent.Op, parent.Flow, name, parent.Offset, parent.Length, parent.Flags, pages: false);
        context.Port.SetIdentity(request, identity);
        context.Port.SetParent(request, parent);
        request.Result.Clear();
        int status = Borrow(request, parent);
        if (status != 0) InFlight--;
        else status = await SubmitAsync(request);
        ulong serviced = request.Serviced;
        request.Result[..result.Length].CopyTo(result.Span);
        context.Free(request);
        return (status, serviced);
    }

    /// <summary>The data that a request brings; null if its slot lies.</summary>
    public static byte[]? DataOf(in Request request)
    {
        if (request.Length > Xseg.Layout.RequestSlot.MaxData) return null;
        var bytes = new byte[request.Length];
        return Copy(request, bytes, write: false) ? bytes : null;
    }

    /// <summary>Names of objects of a blocker from a cursor on (0 at first): {u16 length, bytes} each, and the next cursor, all ones at the end.</summary>
    public async ValueTask<(int Status, byte[] Names, ulong Next)> ListAsync(ulong cursor, int capacity)
    {
        var request = await PrepareAsync(XsegOp.Read, flow, default, 0, (ulong)capacity, RequestFlags.List, pages: true);
        request.Result.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(request.Result, cursor);
        int status = await SubmitAsync(request);
        var names = new byte[(int)Math.Min(request.Serviced, (ulong)capacity)];
        if (status == 0 && !Copy(request, names, write: false)) status = Errno.EBADMSG;
        ulong next = BinaryPrimitives.ReadUInt64LittleEndian(request.Result);
        context.Free(request);
        return (status, names, next);
    }

    /// <summary>Everything that was answered for the flow is stable when this is done.</summary>
    public async ValueTask<int> FlushAsync(uint ofFlow) => (await RunAsync(XsegOp.Flush, ofFlow, default, flags: RequestFlags.Housekeeping)).Status;

    private async ValueTask<Request> PrepareAsync(XsegOp op, uint ofFlow, ReadOnlyMemory<byte> name, ulong offset, ulong length, RequestFlags flags, bool pages)
    {
        InFlight++;
        var request = await context.AllocateAsync();
        context.Port.Prepare(request, op, ofFlow, name.Span, Hash128.Of(name.Span), offset, length, flags);
        // Pages that are lent to slow readers come back; so wait.
        while (pages && !context.Port.TryAttachPages(request, payload: true))
        {
            context.Port.Limbo.DrainPastSlowReaders();
            if (!context.Port.TryAttachPages(request, payload: true)) await context.Reactor.Delay(PageRetry);
            else break;
        }

        return request;
    }

    private async ValueTask<int> SubmitAsync(Request request)
    {
        try
        {
            return await route.SubmitAsync(request);
        }
        finally
        {
            // Also when the peer threw: a stop must not wait for it. The slot stays taken, whatever may still use it.
            InFlight--;
        }
    }

    private int Borrow(in Request child, in Request parent)
    {
        if (!parent.TryData(out var data) || !data.HasPages) return Errno.EBADMSG;
        context.Port.Borrow(child, data, 0);
        return 0;
    }

    private static unsafe bool Copy(in Request request, Span<byte> bytes, bool write)
    {
        if (!request.TryData(out var data)) return false;
        int skip = (int)(request.Offset & 4095);
        for (int i = 0; bytes.Length > 0; i++, skip = 0)
        {
            byte* at = data.Readable(i);
            if (at == null) return false;
            int count = Math.Min(4096 - skip, bytes.Length);
            var page = new Span<byte>(at + skip, count);
            if (write) bytes[..count].CopyTo(page);
            else page.CopyTo(bytes);
            bytes = bytes[count..];
        }

        return true;
    }
}
