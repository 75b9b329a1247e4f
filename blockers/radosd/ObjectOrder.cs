using Archipelago.Xseg;

namespace Archipelago.Radosd;

/// <summary>
/// Keeps requests of one object in order: of two whose ranges overlap and of which one changes something, the later one is not
/// sent before the earlier one has ended. librados keeps the order of one client's operations on one object too, and we rely on
/// it for nothing but one thing: that an operation which was acknowledged is seen by those sent afterwards. Overlapping
/// operations in flight together would be wrong in one case: fenced, of A before B the answer of A may be lost and B
/// acknowledged; A, repeated by the new client, would then overwrite B. What does not overlap flies together.
/// </summary>
internal sealed class ObjectOrder(RadosdStatistics statistics)
{
    private readonly Dictionary<Hash128, Line> _lines = [];
    private Line? _free;

    /// <summary>The requests of one object, running and waiting, in order of arrival.</summary>
    internal sealed class Line
    {
        internal Hash128 Key;
        internal RadosOp? First, Last;
        internal Line? NextFree;
    }

    /// <summary>
    /// Takes a place in the line of the object that <paramref name="op"/> names, for [Start, End). True if it may go on at once;
    /// else its <see cref="RadosOp.Turn"/> is set when it may.
    /// </summary>
    internal bool Enter(RadosOp op)
    {
        // Not the hash of the slot: one that lies must not get its requests out of order with others'.
        var key = Hash128.Of(op.Name);
        if (!_lines.TryGetValue(key, out var line)) _lines.Add(key, line = Rent(key));
        (op.Line, op.Earlier, op.Later, op.Blockers) = (line, line.Last, null, 0);
        for (var other = line.Last; other != null; other = other.Earlier)
            if (Conflict(op, other)) op.Blockers++;
        if (line.Last == null) line.First = op;
        else line.Last.Later = op;
        line.Last = op;
        if (op.Blockers == 0) return true;
        statistics.OrderWaits++;
        return false;
    }

    /// <summary>Leaves the line, and lets those go on that waited for this one only.</summary>
    internal void Leave(RadosOp op)
    {
        var line = op.Line!;
        RadosOp? ready = null, last = null;
        for (var other = op.Later; other != null; other = other.Later)
        {
            if (!Conflict(op, other) || --other.Blockers != 0) continue;
            other.NextWaiting = null;
            if (last == null) ready = other;
            else last.NextWaiting = other;
            last = other;
        }

        if (op.Earlier == null) line.First = op.Later;
        else op.Earlier.Later = op.Later;
        if (op.Later == null) line.Last = op.Earlier;
        else op.Later.Earlier = op.Earlier;
        (op.Line, op.Earlier, op.Later) = (null, null, null);
        if (line.First == null) GiveBack(line);

        // Only now: whoever goes on may enter and leave lines itself.
        while (ready != null)
        {
            var next = ready.NextWaiting;
            ready.NextWaiting = null;
            ready.Turn.Set(true);
            ready = next;
        }
    }

    private static bool Conflict(RadosOp a, RadosOp b) => (a.Writes || b.Writes) && a.Start < b.End && b.Start < a.End;

    private Line Rent(Hash128 key)
    {
        var line = _free ?? new Line();
        _free = line.NextFree;
        (line.Key, line.NextFree) = (key, null);
        return line;
    }

    private void GiveBack(Line line)
    {
        _lines.Remove(line.Key);
        (line.NextFree, _free) = (_free, line);
    }
}
