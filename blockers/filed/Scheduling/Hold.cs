using Archipelago.Filed.Storage;

namespace Archipelago.Filed.Scheduling;

/// <summary>How a request uses an object.</summary>
internal enum HoldKind : byte
{
    /// <summary>Reads a range.</summary>
    Read,
    /// <summary>Changes a range.</summary>
    Write,
    /// <summary>Makes it stable: beside reads and writes.</summary>
    Sync,
    /// <summary>Replaces or removes it: alone.</summary>
    Alone,
}

/// <summary>
/// The use of an object by one request. Requests that conflict run in the order in which they came; one waits for earlier ones
/// only, so that there is no deadlock, whatever it holds. Ranges are widened to whole pages: the kernel does not order direct
/// and buffered I/O on one page. Reused; one reactor.
/// </summary>
internal sealed class Hold(FileJob job)
{
    private HoldKind _kind;
    private ulong _start, _end;
    private Hold? _next, _previous;

    internal StoredObject? Object { get; private set; }

    /// <summary>Enters the list of the object; adds to the job's count of obstacles.</summary>
    internal void Enter(StoredObject used, HoldKind kind, ulong offset, ulong length)
    {
        (Object, _kind) = (used, kind);
        _start = offset & ~4095ul;
        _end = kind is HoldKind.Alone or HoldKind.Sync ? ulong.MaxValue : (offset + length + 4095) & ~4095ul;
        for (var earlier = used.FirstHold; earlier != null; earlier = earlier._next)
            if (ConflictsWith(earlier)) job.Obstacles++;
        (_previous, _next) = (used.LastHold, null);
        if (used.LastHold == null) used.FirstHold = this;
        else used.LastHold._next = this;
        used.LastHold = this;
    }

    /// <summary>Leaves; jobs that waited for this one only are passed to <paramref name="pool"/>.</summary>
    internal void Leave(IoPool pool)
    {
        var used = Object!;
        for (var later = _next; later != null; later = later._next)
            if (ConflictsWith(later)) later.Removed(pool);
        if (_previous == null) used.FirstHold = _next;
        else _previous._next = _next;
        if (_next == null) used.LastHold = _previous;
        else _next._previous = _previous;
        (Object, _next, _previous) = (null, null, null);
    }

    /// <summary>True if the range lies in the one that is held.</summary>
    internal bool Covers(ulong offset, ulong length) => offset >= _start && length <= _end && offset <= _end - length;

    /// <summary>True if a read of the range would have to wait.</summary>
    internal static bool BlocksRead(StoredObject used, ulong offset, ulong length)
    {
        for (var earlier = used.FirstHold; earlier != null; earlier = earlier._next)
            if (earlier._kind == HoldKind.Alone || (earlier._kind == HoldKind.Write && earlier._start < offset + length && (offset & ~4095ul) < earlier._end)) return true;
        return false;
    }

    private bool ConflictsWith(Hold other)
    {
        if (_kind == HoldKind.Alone || other._kind == HoldKind.Alone) return true;
        if (_kind == HoldKind.Sync || other._kind == HoldKind.Sync) return false;
        return (_kind == HoldKind.Write || other._kind == HoldKind.Write) && _start < other._end && other._start < _end;
    }

    private void Removed(IoPool pool)
    {
        if (--job.Obstacles == 0 && job.IsComplete) pool.Submit(job);
    }
}
