using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Memd;

/// <summary>WRITE with COMPARE: on one reactor any read and write is a compare-and-swap.</summary>
public sealed unsafe partial class MemdPeer
{
    private int CompareAndSwap(in Request request)
    {
        int status = SwapData.TryRead(request, MaxObject, out var swap);
        if (status != 0) return status == XsegErrno.EBADMSG ? Context.BadRequest() : status;
        var name = request.Target;
        uint flow = request.Flow;
        var target = _store.Find(request.Hash, name);
        var current = new byte[swap.Size];
        CopyOut(target, swap.Offset, current);
        if (!swap.Expected.SequenceEqual(current))
        {
            // An earlier execution has written it, if there was one.
            if (request.Attempts == 0 || !swap.Fresh.SequenceEqual(current)) return XsegErrno.EILSEQ;
        }
        else
        {
            if (_options.Capacity != 0 && !HasRoom(target, (int)(swap.Offset >> 12), Request.PagesFor(swap.Offset, (ulong)swap.Size))) return XsegErrno.ENOSPC;
            target ??= _store.FindOrCreate(request.Hash, name, flow);
            CopyIn(target, swap.Offset, swap.Fresh, flow);
        }

        if (target != null) _store.Flush(target);
        request.Serviced = request.Length;
        request.Reply = ReplyFlags.Stable;
        return 0;
    }

    private static void CopyOut(MemoryObject? source, ulong offset, Span<byte> to)
    {
        for (int done = 0; done < to.Length;)
        {
            int index = (int)((offset + (ulong)done) >> 12), inside = (int)((offset + (ulong)done) & 4095), part = Math.Min(4096 - inside, to.Length - done);
            byte* chunk = source == null ? null : (byte*)source.ChunkAt(index);
            if (chunk == null) to.Slice(done, part).Clear();
            else new ReadOnlySpan<byte>(chunk + inside, part).CopyTo(to[done..]);
            done += part;
        }
    }

    private void CopyIn(MemoryObject target, ulong offset, ReadOnlySpan<byte> from, uint flow)
    {
        for (int done = 0; done < from.Length;)
        {
            int index = (int)((offset + (ulong)done) >> 12), inside = (int)((offset + (ulong)done) & 4095), part = Math.Min(4096 - inside, from.Length - done);
            byte* chunk = _store.Writable(target, index, whole: part == 4096, flow);
            from.Slice(done, part).CopyTo(new Span<byte>(chunk + inside, part));
            done += part;
        }

        ulong end = offset + (ulong)from.Length;
        if (end > target.Size) _store.SetSize(target, end, flow);
    }
}
