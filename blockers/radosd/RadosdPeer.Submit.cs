using System.Runtime.InteropServices;
using Archipelago.Radosd.Librados;

namespace Archipelago.Radosd;

public sealed unsafe partial class RadosdPeer
{
    /// <summary>Answer of <see cref="Submit"/>: all of it was written by an earlier execution.</summary>
    private const int NothingToDo = -1;

    private byte* _gather;

    /// <summary>Hands a call to librados; 0, <see cref="NothingToDo"/>, or an errno and nothing was submitted.</summary>
    private int Submit(RadosOp op)
    {
        var session = _admission.Session!;
        op.Session = session;
        var pool = session.Objects;
        switch (op.Call)
        {
            case RadosCall.ReadPages:
                return SubmitRead(op, pool);
            case RadosCall.WritePages:
                return SubmitWrite(op, pool);
            case RadosCall.Fetch:
                if (!op.BufferIsBounce) op.Buffer = _buffers.Rent(op.Length);
                op.BufferIsBounce = true;
                return pool.Read(op.Name, op.Buffer, (int)op.Length, 0, op);
            case RadosCall.Remove:
                return pool.Remove(op.Name, op);
            case RadosCall.Stat:
                return pool.Stat(op.Name, op);
            default:
                return SubmitSet(op, pool);
        }
    }

    /// <summary>Several changes of one object that RADOS applies together or not at all.</summary>
    private static int SubmitSet(RadosOp op, RadosPool pool)
    {
        using var set = RadosWriteOp.Create();
        switch (op.Call)
        {
            case RadosCall.Replace:
                if (op.Exclusive) set.Create(exclusive: true);
                set.WriteFull(new ReadOnlySpan<byte>(op.Buffer, (int)op.Length));
                break;
            case RadosCall.Swap or RadosCall.SwapAgain:
                set.Compare(op.Call == RadosCall.Swap ? op.Swap.Expected : op.Swap.Fresh, op.Offset);
                set.Write(op.Swap.Fresh, op.Offset);
                break;
            case RadosCall.SwapRecord:
                set.Compare(op.Expected, 0);
                set.Write(op.Fresh, 0);
                break;
            case RadosCall.Create:
                set.Create(exclusive: false);
                break;
            case RadosCall.Resize:
                // Without the create a truncate of a missing object succeeds and does nothing.
                set.Create(exclusive: false);
                set.Truncate(op.Length);
                break;
            case RadosCall.Clear:
                set.AssertExists();
                if (op.Length > 0) set.Zero(op.Offset, op.Length);
                // A zero that reaches the object's end cuts it there; this sets the size right in the same breath.
                if (op.NewSize is { } size) set.Truncate(size);
                break;
            default:
                throw new InvalidOperationException($"no such call: {op.Call}");
        }

        return set.Submit(pool, op.Name, op);
    }

    private int SubmitRead(RadosOp op, RadosPool pool)
    {
        if (!TryData(op, out var data)) return Context.BadRequest();
        if (!op.BufferIsBounce)
        {
            op.Buffer = null;
            if (data.HasPages && !Payload.TryFindOwned(op.Request, data, out op.Buffer)) return Context.BadRequest();
            op.BufferIsBounce = op.Buffer == null;
            if (op.BufferIsBounce) op.Buffer = _buffers.Rent(op.Length);
        }

        return pool.Read(op.Name, op.Buffer, (int)op.Length, op.Offset, op);
    }

    private int SubmitWrite(RadosOp op, RadosPool pool)
    {
        // At each submit anew: between two of them a faulty issuer may have taken its pages away.
        // One without pages would name the zero page.
        if (!TryData(op, out var data) || !data.HasPages || !Payload.TryFindReadable(op.Request, data, out byte* piece, out int spent)) return Context.BadRequest();
        if (spent == data.Count) return NothingToDo;
        if (piece != null) return pool.Write(op.Name, new ReadOnlySpan<byte>(piece, (int)op.Length), op.Offset, op);

        // librados copies at submit: one buffer serves all.
        if (_gather == null) _gather = (byte*)NativeMemory.AlignedAlloc(RadosdOptions.MaxObject, 4096);
        int first = 0;
        if (spent == 0)
        {
            return Payload.Gather(data, op.Offset, op.Length, _gather, ref first) == (int)op.Length
                ? pool.Write(op.Name, new ReadOnlySpan<byte>(_gather, (int)op.Length), op.Offset, op)
                : Context.BadRequest();
        }

        using var set = RadosWriteOp.Create();
        while (first < data.Count)
        {
            int from = first;
            int bytes = Payload.Gather(data, op.Offset, op.Length, _gather, ref first);
            if (bytes < 0) return Context.BadRequest();
            ulong offset = from == 0 ? op.Offset : (op.Offset & ~4095ul) + ((ulong)from << 12);
            if (bytes > 0) set.Write(new ReadOnlySpan<byte>(_gather, bytes), offset);
            if (first == from) first++;
        }

        return set.Submit(pool, op.Name, op);
    }

    private void FreeGather()
    {
        NativeMemory.AlignedFree(_gather);
        _gather = null;
    }

    private void ReturnBuffer(RadosOp op)
    {
        if (op.BufferIsBounce) _buffers.Return(op.Buffer, op.Length);
        op.Buffer = null;
        op.BufferIsBounce = false;
    }
}
