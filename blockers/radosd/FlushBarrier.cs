namespace Archipelago.Radosd;

/// <summary>
/// The requests under way that change something, so that a FLUSH can wait for those of its flow (flow 0: all) that came before
/// it. What was answered needs no more: RADOS acknowledges when it is stable. One reactor.
/// </summary>
internal sealed class FlushBarrier
{
    private readonly List<RadosOp> _flushes = [];
    private RadosOp? _first, _last;
    private ulong _sequence;

    /// <summary>A change begins.</summary>
    internal void Begin(RadosOp change)
    {
        change.Sequence = ++_sequence;
        (change.EarlierChange, change.LaterChange) = (_last, null);
        if (_last == null) _first = change;
        else _last.LaterChange = change;
        _last = change;
    }

    /// <summary>A change has ended, well or not.</summary>
    internal void End(RadosOp change)
    {
        if (change.EarlierChange == null) _first = change.LaterChange;
        else change.EarlierChange.LaterChange = change.LaterChange;
        if (change.LaterChange == null) _last = change.EarlierChange;
        else change.LaterChange.EarlierChange = change.EarlierChange;
        (change.EarlierChange, change.LaterChange) = (null, null);
        RadosOp? ready = null;
        for (int i = _flushes.Count - 1; i >= 0; i--)
        {
            var flush = _flushes[i];
            if (change.Sequence >= flush.Sequence || !Covers(flush, change) || --flush.Awaited > 0) continue;
            _flushes.RemoveAt(i);
            (flush.NextWaiting, ready) = (ready, flush);
        }

        // Only now: whoever goes on may begin and end changes itself.
        while (ready != null)
        {
            var next = ready.NextWaiting;
            ready.NextWaiting = null;
            ready.Turn.Set(true);
            ready = next;
        }
    }

    /// <summary>True if there is nothing to wait for; else the flush's <see cref="RadosOp.Turn"/> is set when it is done.</summary>
    internal bool TryPass(RadosOp flush)
    {
        flush.Sequence = ++_sequence;
        flush.Awaited = 0;
        for (var change = _first; change != null; change = change.LaterChange)
            if (Covers(flush, change)) flush.Awaited++;
        if (flush.Awaited == 0) return true;
        _flushes.Add(flush);
        return false;
    }

    private static bool Covers(RadosOp flush, RadosOp change) => flush.Flow == 0 || flush.Flow == change.Flow;
}
