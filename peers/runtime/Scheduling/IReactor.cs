using Archipelago.Runtime.Hosting;

namespace Archipelago.Runtime.Scheduling;

/// <summary>
/// What a peer sees of the thread that it runs on: time, randomness, timers, I/O readiness and work for later. In production
/// it is <see cref="Reactor"/>; a simulation gives one with virtual time that runs all peers in one thread. Everything but
/// <see cref="Post"/> may be called on the reactor's thread only.
/// </summary>
public interface IReactor
{
    /// <summary>Monotonic nanoseconds as of the start of this round of the loop: cheap, and at most a round old.</summary>
    long Now { get; }

    /// <summary>The clocks themselves, for what must be exact.</summary>
    IClock Clock { get; }

    /// <summary>Random numbers of this reactor.</summary>
    IRandom Random { get; }

    /// <summary>Runs <paramref name="action"/> on the reactor's thread, soon. Thread-safe.</summary>
    void Post(Action<object?> action, object? state);

    /// <summary>Calls <paramref name="action"/> on the reactor's thread once <see cref="Now"/> reaches <paramref name="dueNanoseconds"/>. No allocation.</summary>
    TimerHandle Schedule(long dueNanoseconds, Action<object?> action, object? state);

    /// <summary>Cancels a timer that has not fired; a stale handle does nothing.</summary>
    void Cancel(TimerHandle timer);

    /// <summary>Completes after <paramref name="delay"/>.</summary>
    ValueTask Delay(TimeSpan delay);

    /// <summary>
    /// Runs work that blocks (a directory operation, a library call) on another thread; the caller's continuation is back on
    /// the reactor. For control paths: it allocates.
    /// </summary>
    Task<T> RunBlocking<T>(Func<T> work);

    /// <summary>Adds something that is polled in every round.</summary>
    void Add(IPoller poller);

    /// <summary>Removes what <see cref="Add"/> added.</summary>
    void Remove(IPoller poller);

    /// <summary>Watches a file descriptor, level-triggered. Use <see cref="IoWatch.Change"/> and <see cref="IoWatch.Dispose"/> on the result.</summary>
    IoWatch Watch(int handle, IoEvents events, IIoHandler handler);
}

/// <summary>Something that the reactor asks for work in every round.</summary>
public interface IPoller
{
    /// <summary>Does what there is to do without blocking; returns a number above 0 if there was something.</summary>
    int Poll();

    /// <summary>Called before the reactor parks: arrange to be woken, and return false if there is work after all.</summary>
    bool PrepareToPark();

    /// <summary>Called after the reactor was parked, or nearly was.</summary>
    void Unpark();
}

/// <summary>Readiness of a file descriptor; values are those of epoll(7).</summary>
[Flags]
public enum IoEvents : uint
{
    /// <summary>Nothing: errors and hang-ups are reported all the same.</summary>
    None = 0,
    /// <summary>May be read.</summary>
    Read = 1,
    /// <summary>May be written.</summary>
    Write = 4,
    /// <summary>An error is pending.</summary>
    Error = 8,
    /// <summary>The other side hung up.</summary>
    HangUp = 16,
    /// <summary>The other side sends no more (TCP: its FIN has come): told, if asked for, also while nothing is read.</summary>
    ReadHangUp = 0x2000,
}

/// <summary>Is told when a watched file descriptor is ready.</summary>
public interface IIoHandler
{
    /// <summary>The descriptor is ready for <paramref name="events"/>. On the reactor's thread; must not block.</summary>
    void OnReady(IoEvents events);
}

/// <summary>A timer of <see cref="IReactor.Schedule"/>.</summary>
public readonly record struct TimerHandle(int Index, uint Generation);

/// <summary>A watched file descriptor. Dispose it before the descriptor is closed.</summary>
public abstract class IoWatch : IDisposable
{
    /// <summary>Changes what is watched for.</summary>
    public abstract void Change(IoEvents events);

    /// <inheritdoc/>
    public abstract void Dispose();
}
