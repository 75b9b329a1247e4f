using Archipelago.Runtime.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Simulation;

/// <summary>
/// A host in one thread: processes over one segment, virtual time, and a scheduler that draws from a seed which process does
/// its next piece of work. The same seed replays the same run.
/// </summary>
public sealed class SimWorld(ulong seed, ILoggerFactory? logs = null)
{
    /// <summary>Most nanoseconds that one step takes.</summary>
    private const long LongestStep = 2_000;
    private readonly List<SimProcess> _processes = [];
    private ulong _forks;

    /// <summary>The seed.</summary>
    public ulong Seed { get; } = seed;
    /// <summary>Virtual time.</summary>
    public SimClock Clock { get; } = new();
    /// <summary>The scheduler's randomness; a test may draw from it too.</summary>
    public IRandom Random { get; } = new SeededRandom(seed);
    /// <summary>Steps so far.</summary>
    public long Steps { get; private set; }
    /// <summary>Most steps of one <see cref="RunUntil"/> before it fails as hung.</summary>
    public long Patience { get; init; } = 100_000;
    /// <summary>Most virtual nanoseconds of one <see cref="RunUntil"/> before it fails as hung.</summary>
    public long LongestWait { get; init; } = 600_000_000_000;

    /// <summary>Starts a process on the segment in <paramref name="directory"/>.</summary>
    public SimProcess Spawn(string name, string directory)
    {
        var process = new SimProcess(this, name, directory, Random.Fork(++_forks), logs ?? NullLoggerFactory.Instance);
        _processes.Add(process);
        return process;
    }

    /// <summary>One piece of work of one process; lets time pass to the next timer if there is none. False if nothing will ever happen.</summary>
    public bool Step()
    {
        Steps++;
        Clock.Now += Random.Next(LongestStep);
        int count = _processes.Count, start = count == 0 ? 0 : (int)Random.Next(count);
        for (int i = 0; i < count; i++)
            if (_processes[(start + i) % count].RunOne()) return true;
        long due = long.MaxValue;
        foreach (var process in _processes.Where(process => !process.IsHung)) due = Math.Min(due, process.Reactor.NextDue);
        if (due == long.MaxValue) return false;
        Clock.Now = Math.Max(Clock.Now, due);
        return true;
    }

    /// <summary>Steps until <paramref name="done"/>; throws, naming <paramref name="what"/>, if that does not come.</summary>
    public void RunUntil(Func<bool> done, string what)
    {
        long steps = Steps, started = Clock.Now;
        while (!done())
        {
            bool more = Step();
            if (!more || Steps - steps > Patience || Clock.Now - started > LongestWait)
                throw new TimeoutException($"seed {Seed}: {what}: not done after {Steps - steps} steps and {(Clock.Now - started) / 1e9:f3} s of virtual time");
        }
    }

    /// <summary>Lets virtual time pass.</summary>
    public void RunFor(TimeSpan time)
    {
        long end = Clock.Now + time.Ticks * 100;
        while (Clock.Now < end && Step())
        {
        }
    }

    internal void Remove(SimProcess process) => _processes.Remove(process);
}
