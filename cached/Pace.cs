using Archipelago.Runtime.Routing;

namespace Archipelago.Cached;

/// <summary>
/// When a dirty object's turn to be destaged comes, and how many blocker writes may then be in flight. What is written again and again
/// costs the blocker least if it goes down late and in long runs; so there is no more haste than the dirty limit and the age ask for. One reactor.
/// </summary>
internal sealed unsafe class Pace
{
    /// <summary>Writes in flight when nothing presses.</summary>
    private const int IdleDepth = 4;
    /// <summary>Age from which on data goes down as soon as the dirty pages pass the watermark, where a flow may be dirty for longer.</summary>
    private const long LongestUnderPressure = 5_000_000_000;
    /// <summary>Whoever waits for room asks again each millisecond.</summary>
    private const long SqueezeLasts = 10_000_000;

    private readonly PeerContext _context;
    private readonly Store _store;
    private readonly int _low;
    private long _squeezedUntil;

    internal Pace(PeerContext context, Store store)
    {
        (_context, _store) = (context, store);
        _low = (int)(store.Options.Pages * store.Options.DestageRatio);
        // Fills and forwarded requests need slots too.
        Depth = Math.Clamp(store.Options.DestageDepth, 1, context.Segment.SlotsPerPort / 4);
    }

    /// <summary>Most blocker writes in flight.</summary>
    internal int Depth { get; }

    /// <summary>Somebody found no room: for a moment everything is due, at full depth.</summary>
    internal void Squeeze() => _squeezedUntil = _context.Reactor.Now + SqueezeLasts;

    /// <summary>What of the flow is dirty since then, or for longer, should go down. The more is dirty, the sooner.</summary>
    internal long DueSince(FlowState flow)
    {
        long age = AgeOf(flow);
        double pressure = Pressure();
        return _context.Reactor.Now - (pressure > 0 ? (long)(Math.Min(age, LongestUnderPressure) * (1 - pressure)) : age);
    }

    /// <summary>
    /// Blocker writes in flight up to which one more may be started for an object that is dirty since <paramref name="dirtySince"/>: few
    /// while nothing presses, so that the guest's own requests find the blocker idle; the full depth where somebody waits for the object, near the
    /// dirty limit, and for what is twice as old as it may become.
    /// </summary>
    internal int DepthFor(CachedObject of, long dirtySince)
    {
        if (of.Waits != null) return Depth;
        double overdue = (_context.Reactor.Now - dirtySince) / (double)AgeOf(of.Flow) - 1, pressure = Pressure();
        return (int)Math.Min(Depth, IdleDepth + Math.Max(overdue, pressure * pressure) * Depth);
    }

    /// <summary>How far the dirty pages have come from the watermark, 0, to their limit, 1; 1 while somebody waits for room.</summary>
    private double Pressure()
    {
        if (_context.Reactor.Now < _squeezedUntil) return 1;
        return Math.Clamp((_store.DirtyPages - _low) / (double)Math.Max(1, _store.DirtyLimit - _low), 0, 1);
    }

    private long AgeOf(FlowState flow)
    {
        var entry = _context.Segment.FlowAt(flow.Index);
        long own = entry == null ? 0 : (long)entry->DirtyAge;
        return Math.Max(1, own > 0 ? own : _store.Options.DirtyAge.Ticks * 100);
    }
}
