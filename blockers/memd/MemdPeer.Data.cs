using System.Runtime.CompilerServices;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Memd;

/// <summary>READ and WRITE: at once and without allocation, unless a READ must wait for pages to lend.</summary>
public sealed unsafe partial class MemdPeer
{
    private readonly Extent[] _lent = new Extent[RequestSlot.MaxExtents];

    private ValueTask<int> Read(in Request request)
    {
        if ((request.Flags & RequestFlags.List) != 0) return List(request);
        int status = TryRead(request, out bool wait);
        return wait ? ReadWhenPagesAreFree(request) : new ValueTask<int>(status);
    }

    private int TryRead(in Request request, out bool wait)
    {
        wait = false;
        ulong offset = request.Offset, length = request.Length;
        if (!Fits(offset, length)) return XsegErrno.EFBIG;
        if (!request.TryData(out var data) || data.Count != Request.PagesFor(offset, length)) return Context.BadRequest();
        var source = _store.Find(request.Hash, request.Target);
        if (source == null)
        {
            if ((request.Flags & RequestFlags.MustExist) != 0) return XsegErrno.EIO;
            request.Reply = ReplyFlags.Missing;
        }

        int status = data.HasPages ? Fill(source, data, offset, length) : Lend(source, request.Flow, data, offset, length, out wait);
        if (status == 0 && !wait) request.Serviced = length;
        return status;
    }

    private int Fill(MemoryObject? source, in RequestData data, ulong offset, ulong length)
    {
        int inside = (int)(offset & 4095);
        ulong left = length;
        for (int i = 0; i < data.Count; i++)
        {
            int part = (int)Math.Min((ulong)(4096 - inside), left);
            if (data.Owned(i, out var extent) == null) return Context.BadRequest();
            byte* page = Context.Segment.PageBytes(extent.Page);
            byte* chunk = source == null ? null : (byte*)source.ChunkAt((int)(offset >> 12) + i);
            if (chunk == null) new Span<byte>(page + inside, part).Clear();
            else Buffer.MemoryCopy(chunk + inside, page + inside, part, part);
            left -= (ulong)part;
            inside = 0;
        }

        return 0;
    }

    private int Lend(MemoryObject? source, uint flow, in RequestData data, ulong offset, ulong length, out bool wait)
    {
        wait = false;
        int first = (int)(offset >> 12), needed = 0;
        if (source != null)
            for (int i = 0; i < data.Count; i++)
                if (source.ChunkAt(first + i) != 0) needed++;
        if (needed != 0 && !_lender.TryTake(flow, _lent.AsSpan(0, needed)))
        {
            wait = needed <= _lender.Available && !_stopping;
            return wait ? 0 : XsegErrno.ENOMEM;
        }

        int inside = (int)(offset & 4095), taken = 0;
        ulong left = length;
        for (int i = 0; i < data.Count; i++)
        {
            int part = (int)Math.Min((ulong)(4096 - inside), left);
            byte* chunk = source == null ? null : (byte*)source.ChunkAt(first + i);
            var extent = chunk == null ? Extent.Zero : _lent[taken++];
            if (chunk != null) Buffer.MemoryCopy(chunk + inside, Context.Segment.PageBytes(extent.Page) + inside, part, part);
            if (!data.Set(i, extent)) return Context.BadRequest();
            left -= (ulong)part;
            inside = 0;
        }

        return 0;
    }

    private int Write(in Request request)
    {
        ulong offset = request.Offset, length = request.Length;
        uint flow = request.Flow;
        if ((request.Flags & RequestFlags.Compare) != 0) return CompareAndSwap(request);
        if (!Fits(offset, length)) return XsegErrno.EFBIG;
        if (!request.TryData(out var data) || data.Count != Request.PagesFor(offset, length) || (length != 0 && !data.HasPages)) return Context.BadRequest();
        var name = request.Target;
        if (name.IsEmpty) return XsegErrno.EINVAL;
        var target = _store.Find(request.Hash, name);
        if (_options.Capacity != 0 && !HasRoom(target, (int)(offset >> 12), data.Count)) return XsegErrno.ENOSPC;
        target ??= _store.FindOrCreate(request.Hash, name, flow);

        int inside = (int)(offset & 4095), chunkIndex = (int)(offset >> 12);
        ulong left = length;
        for (int i = 0; i < data.Count; i++)
        {
            int part = (int)Math.Min((ulong)(4096 - inside), left);
            byte* page = data.Readable(i);
            if (page != null)
            {
                byte* chunk = _store.Writable(target, chunkIndex + i, whole: part == 4096, flow);
                Buffer.MemoryCopy(page + inside, chunk + inside, part, part);
            }
            else if (!data.Get(i).IsSpent)
            {
                return Context.BadRequest();
            }

            left -= (ulong)part;
            inside = 0;
        }

        if (offset + length > target.Size) _store.SetSize(target, offset + length, flow);
        request.Serviced = length;
        Written(request, target);
        return 0;
    }

    /// <summary>Says what the reply to a change of <paramref name="target"/> can say about its stability.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Written(in Request request, MemoryObject? target)
    {
        if (_options.Volatile) WrittenVolatile(request, target);
        else request.Reply = _written;
    }

    private void WrittenVolatile(in Request request, MemoryObject? target)
    {
        if ((request.Flags & RequestFlags.ForceUnitAccess) == 0) return;
        // Also of an object that is gone: that it was deleted may not be stable yet.
        target ??= _store.FindDeleted(request.Hash, request.Target);
        if (target != null) _store.Flush(target);
        request.Reply = ReplyFlags.Stable;
    }

    private bool HasRoom(MemoryObject? target, int first, int count)
    {
        long fresh = count;
        if (target != null)
            for (int i = 0; i < count; i++)
                if (target.ChunkAt(first + i) != 0) fresh--;
        return fresh == 0 || (_store.Chunks + fresh) * ChunkPool.ChunkSize <= _options.Capacity;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Fits(ulong offset, ulong length) => length <= MaxObject && offset <= MaxObject - length;
}
