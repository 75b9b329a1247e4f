namespace Archipelago.Cached.Tests.Model;

/// <summary>
/// What one 512 B sector may hold, as an atomic register: every value that was written, when, and since when it cannot be the
/// current one any more. Value 0 is zeros.
/// </summary>
internal sealed class Register
{
    private const long Never = long.MaxValue;

    private sealed class Value
    {
        internal ulong Id;
        internal long Start;
        /// <summary>When the write was answered; <see cref="Never"/> while it is under way.</summary>
        internal long End = Never;
        /// <summary>From then on no read that begins may return it.</summary>
        internal long Gone = Never;
        /// <summary>As <see cref="Gone"/>, but only by writes that were answered: what a crash of the host may not bring back.</summary>
        internal long Superseded = Never;
    }

    private readonly List<Value> _values = [new Value { Start = -1, End = -1 }];
    /// <summary>What was superseded up to then is gone for good.</summary>
    private long _stable = -1;

    internal bool IsSettled => _values.TrueForAll(value => value.End != Never);

    internal void Begin(ulong id, long now)
    {
        if (_values.Count > 24) _values.RemoveAll(value => value.Superseded < now - 4000 && value.Superseded <= _stable);
        _values.Add(new Value { Id = id, Start = now });
    }

    /// <summary>The write was answered. One that failed may or may not have taken effect.</summary>
    internal void End(ulong id, long now, bool succeeded, bool stable)
    {
        var written = _values.FindLast(value => value.Id == id && value.End == Never)!;
        written.End = now;
        if (!succeeded) return;
        foreach (var value in _values)
        {
            if (value.End > written.Start || value == written) continue;
            value.Gone = Math.Min(value.Gone, now);
            value.Superseded = Math.Min(value.Superseded, now);
        }

        if (stable) _stable = Math.Max(_stable, now);
    }

    /// <summary>Whoever wrote is dead, and nothing of it can take effect any more: it has, or it has not.</summary>
    internal void Abandon(long now)
    {
        foreach (var value in _values)
            if (value.End == Never) value.End = now;
    }

    /// <summary>False if a read from <paramref name="start"/> to now could not have returned <paramref name="id"/>.</summary>
    internal bool Observe(ulong id, long start, long now)
    {
        bool possible = false;
        foreach (var value in _values) possible |= value.Id == id && value.Gone > start;
        if (!possible) return false;
        foreach (var value in _values)
            if (value.Id != id && value.End <= start) value.Gone = Math.Min(value.Gone, now);
        return true;
    }

    /// <summary>What was answered before <paramref name="start"/> survives the host.</summary>
    internal void Flushed(long start) => _stable = Math.Max(_stable, start);

    /// <summary>The host crashed and <paramref name="id"/> was found; false if something stable was lost.</summary>
    internal bool Survived(ulong id)
    {
        bool possible = false;
        foreach (var value in _values) possible |= value.Id == id && value.Superseded > _stable;
        if (!possible) return false;
        _values.Clear();
        _values.Add(new Value { Id = id, Start = -1, End = -1 });
        return true;
    }

    /// <summary>
    /// Takes over what the sector of a copied object may hold. Both are settled. A copy that failed may have taken effect, in part.
    /// </summary>
    internal void CopyOf(Register source, long now, bool succeeded)
    {
        var ids = source._values.Where(value => value.Gone == Never).Select(value => value.Id).ToHashSet();
        foreach (var value in succeeded ? _values : [])
        {
            value.Gone = Math.Min(value.Gone, now);
            value.Superseded = Math.Min(value.Superseded, now);
        }

        foreach (ulong id in ids) _values.Add(new Value { Id = id, Start = now, End = now });
    }

    public override string ToString() => string.Join(" ", _values.Select(value =>
        $"{value.Id}[{value.Start}..{(value.End == Never ? "" : value.End)}{(value.Gone == Never ? "" : $" gone {value.Gone}")}{(value.Superseded == Never ? "" : $" superseded {value.Superseded}")}]")) + $" stable {_stable}";
}
