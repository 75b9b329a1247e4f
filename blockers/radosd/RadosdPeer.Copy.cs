using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Radosd;

/// <summary>COPY and HASH: what needs an object's whole content here.</summary>
public sealed partial class RadosdPeer
{
    /// <summary>Whole objects in memory at once.</summary>
    private const int MaxWholes = 8;
    private readonly Queue<RadosOp> _waitingWholes = new();
    private int _wholes;

    /// <summary>
    /// Reads the source and replaces the target by one operation, which RADOS applies whole or not at all: an object of 4 MiB is
    /// far below the largest one that it takes (osd_max_write_size, 90 MiB).
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> CopyAsync(Request request)
    {
        ulong length = request.Length;
        if (request.Offset != 0) return Errno.EINVAL;
        if (length > MaxObject) return Errno.EFBIG;
        var source = Rent(request, writes: false);
        source.NamesSource = true;
        var target = Rent(request, writes: true);
        target.Exclusive = (request.Flags & RequestFlags.Exclusive) != 0;
        bool same = request.Source.SequenceEqual(request.Target);
        // Both places are taken at once, in the order of arrival of the requests: so no two copies wait for each other.
        bool sourceFirst = same || _order.Enter(source), targetFirst = _order.Enter(target);
        if (!sourceFirst) await source.Turn.Task;
        if (!targetFirst) await target.Turn.Task;
        // Only now: whoever holds this waits for RADOS alone.
        if (!TryHoldWhole(target)) await target.Room.Task;

        int status = await FetchAsync(source, length);
        if (status == 0)
        {
            target.Length = (ulong)source.Result.Length;
            ShareBuffer(target, source);
            status = await CallAsync(target, RadosCall.Replace, source.Result.Length);
            if (status == Errno.EEXIST && target.MayHaveRun && await IsCopyAsync(source, target)) status = 0;
        }

        if (status == 0)
        {
            request.Serviced = target.Length;
            request.Reply = ReplyFlags.Stable;
        }

        // The buffer is the source's.
        ShareBuffer(target, null);
        ReturnBuffer(source);
        ReleaseWhole();
        if (same) Return(source);
        else End(source, 0);
        return End(target, status);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> HashAsync(Request request)
    {
        var op = Rent(request, writes: false);
        if (!_order.Enter(op)) await op.Turn.Task;
        if (!TryHoldWhole(op)) await op.Room.Task;
        int status = await FetchAsync(op, MaxObject);
        if (status == 0 || (status == Errno.ENOENT && (request.Flags & RequestFlags.MustExist) == 0))
        {
            int length = status == 0 ? op.Result.Length : 0;
            byte[] hash = length == 0 ? SHA256.HashData([]) : await Context.Reactor.RunBlocking(() => HashOf(op, length));
            hash.CopyTo(request.Result);
            request.Serviced = (ulong)hash.Length;
            status = 0;
        }

        ReturnBuffer(op);
        ReleaseWhole();
        return End(op, status);
    }

    /// <summary>Reads up to <paramref name="length"/> bytes from the object's start into a buffer of the operation's own.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> FetchAsync(RadosOp op, ulong length)
    {
        // To RADOS a read of nothing is one of everything.
        if (length == 0) return await CallAsync(op, RadosCall.Stat);
        op.Length = length;
        return await CallAsync(op, RadosCall.Fetch, (long)length);
    }

    /// <summary>
    /// Whether the target is what an earlier execution of this very request has made: then its EEXIST is a success.
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<bool> IsCopyAsync(RadosOp source, RadosOp target)
    {
        var probe = Rent(target.Request);
        probe.Writes = false;
        bool same = await FetchAsync(probe, MaxObject) == 0 && SameContent(probe, source, (int)target.Length);
        ReturnBuffer(probe);
        Return(probe);
        return same;
    }

    /// <summary>True if the operation may hold a whole object in memory now; else its Room is set when it may.</summary>
    private bool TryHoldWhole(RadosOp op)
    {
        if (_wholes < MaxWholes)
        {
            _wholes++;
            return true;
        }

        _waitingWholes.Enqueue(op);
        return false;
    }

    private void ReleaseWhole()
    {
        if (_waitingWholes.TryDequeue(out var next)) next.Room.Set(true);
        else _wholes--;
    }

    private static unsafe void ShareBuffer(RadosOp to, RadosOp? from) => to.Buffer = from == null ? null : from.Buffer;

    private static unsafe bool SameContent(RadosOp a, RadosOp b, int length) =>
        a.Result.Length == length && new ReadOnlySpan<byte>(a.Buffer, length).SequenceEqual(new ReadOnlySpan<byte>(b.Buffer, length));

    private static unsafe byte[] HashOf(RadosOp op, int length)
    {
        var content = new ReadOnlySpan<byte>(op.Buffer, length);
        return SHA256.HashData(content[..(content.LastIndexOfAnyExcept((byte)0) + 1)]);
    }
}
