using Archipelago.Runtime.Scheduling;

namespace Archipelago.Radosd;

/// <summary>
/// Keeps what is in flight at RADOS below our own limits, which lie below those at which librados blocks the calling thread;
/// what does not fit waits here, and so does everything while there is no connection. First come, first served, except that
/// reads pass writes that wait for the limit of writes. One reactor.
/// </summary>
internal sealed class Admission(RadosdOptions options, RadosdStatistics statistics, IReactor reactor)
{
    private RadosOp? _firstRead, _lastRead, _firstWrite, _lastWrite;
    private ulong _arrivals;
    private int _operations;
    private int _writes;
    private long _bytes;
    private long _held;
    private bool _pumping;

    /// <summary>The connection in use; null while there is none.</summary>
    internal RadosSession? Session { get; set; }

    /// <summary>True if <paramref name="op"/> may be submitted now; else its <see cref="RadosOp.Room"/> is set when it may.</summary>
    internal bool TryEnter(RadosOp op)
    {
        if (_firstRead == null && _firstWrite == null && Fits(op))
        {
            Take(op);
            return true;
        }

        op.Arrival = ++_arrivals;
        op.WaitsSince = reactor.Now;
        op.NextWaiting = null;
        statistics.Waiting++;
        statistics.Waits++;
        if (op.Writes) Append(op, ref _firstWrite, ref _lastWrite);
        else Append(op, ref _firstRead, ref _lastRead);
        // A read behind writes that are at their limit, or a write behind held reads, need not wait for an answer to arrive.
        if (!_pumping && Fits(op)) Pump();
        return !op.Room.IsSet ? false : TakeRoom(op);
    }

    /// <summary>An operation has ended, or was not submitted after all.</summary>
    internal void Leave(RadosOp op)
    {
        _operations--;
        _bytes -= op.Bytes;
        if (op.Writes) _writes--;
        Publish();
    }

    /// <summary>
    /// What was read waits for pages to be lent, in memory of ours: with too much of it no further reads are sent. Writes are:
    /// they need no such pages, and are what frees others'.
    /// </summary>
    internal void Hold(long bytes) => _held += bytes;

    /// <summary>Ends a <see cref="Hold"/>.</summary>
    internal void Unhold(long bytes)
    {
        _held -= bytes;
        Pump();
    }

    /// <summary>Lets those go on that fit now.</summary>
    internal void Pump()
    {
        if (_pumping) return;
        _pumping = true;
        while (Next() is { } op)
        {
            if (op.Writes) Remove(ref _firstWrite, ref _lastWrite);
            else Remove(ref _firstRead, ref _lastRead);
            statistics.Waiting--;
            statistics.WaitNanoseconds += Math.Max(0, reactor.Now - op.WaitsSince);
            Take(op);
            op.Room.Set(true);
        }

        _pumping = false;
    }

    private bool ReadsMayGo => _held <= options.MaxBytes / 2;

    private RadosOp? Next()
    {
        var write = _firstWrite != null && _writes < options.MaxWrites ? _firstWrite : null;
        var read = ReadsMayGo ? _firstRead : null;
        var op = read == null ? write : write == null || read.Arrival < write.Arrival ? read : write;
        return op != null && Fits(op) ? op : null;
    }

    private bool Fits(RadosOp op) =>
        Session != null && _operations < options.MaxOperations && _bytes + op.Bytes <= options.MaxBytes && (op.Writes ? _writes < options.MaxWrites : ReadsMayGo);

    private void Take(RadosOp op)
    {
        _operations++;
        _bytes += op.Bytes;
        if (op.Writes) _writes++;
        Publish();
    }

    private void Publish() => (statistics.InFlight, statistics.BytesInFlight) = (_operations, _bytes);

    /// <summary>It was let in by the very call that made it wait: the promise is taken here, nobody else will.</summary>
    private static bool TakeRoom(RadosOp op) => op.Room.Task.Result;

    private static void Append(RadosOp op, ref RadosOp? first, ref RadosOp? last)
    {
        if (last == null) first = op;
        else last.NextWaiting = op;
        last = op;
    }

    private static void Remove(ref RadosOp? first, ref RadosOp? last)
    {
        var op = first!;
        first = op.NextWaiting;
        if (first == null) last = null;
        op.NextWaiting = null;
    }
}
