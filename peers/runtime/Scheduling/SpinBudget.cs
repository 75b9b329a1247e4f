namespace Archipelago.Runtime.Scheduling;

/// <summary>
/// Decides how long a reactor without work spins before it parks. A blocking wake-up costs 15 to 25 µs on virtual machines, a
/// spinning hand-over 0.2 µs: spinning pays while work usually comes within the limit, and only steals the core when it does
/// not. The gaps between rounds with work are averaged; the budget is a few times that, or next to nothing.
/// </summary>
internal sealed class SpinBudget
{
    private const long Floor = 1_000;
    private const long WakeUp = 20_000;
    private readonly long _limit;
    private long _averageGap;

    internal SpinBudget(long limitNanoseconds)
    {
        _limit = Current = limitNanoseconds;
        _averageGap = limitNanoseconds / 4;
    }

    /// <summary>Nanoseconds to spin before parking.</summary>
    internal long Current { get; private set; }

    /// <summary>A sleep ended with work, <paramref name="gap"/> nanoseconds after the last: it had come a wake-up sooner, which spinning would have saved.</summary>
    internal void Woken(long gap) => Found(Math.Max(0, gap - WakeUp));

    /// <summary>Work was found after <paramref name="gap"/> nanoseconds without any.</summary>
    internal void Found(long gap)
    {
        // A long pause counts as a little over the limit only: one must not outweigh a hundred quick hand-overs after it.
        _averageGap += (Math.Min(gap, _limit * 2) - _averageGap) / 8;
        Current = _averageGap >= _limit ? Math.Min(Floor, _limit) : Math.Min(_limit, _averageGap * 4 + Floor);
    }
}
