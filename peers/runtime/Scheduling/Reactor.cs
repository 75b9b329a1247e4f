using System.Collections.Concurrent;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Runtime.Scheduling;

/// <summary>How a reactor runs.</summary>
public sealed record ReactorOptions
{
    /// <summary>Name of the thread.</summary>
    public string Name { get; init; } = "reactor";
    /// <summary>Longest spin before parking; 0 parks at once.</summary>
    public TimeSpan MaximumSpin { get; init; } = TimeSpan.FromMicroseconds(50);
    /// <summary>Seed of <see cref="IReactor.Random"/>.</summary>
    public ulong Seed { get; init; } = (ulong)Environment.TickCount64;
}

/// <summary>
/// One thread that owns a slice of everything: it polls links, runs continuations and timers, serves sockets, spins for an
/// adaptive while, then parks. An exception that reaches the loop is our own fault and ends the process, which recovery makes safe.
/// </summary>
public sealed class Reactor : IReactor, IDisposable
{
    private readonly ConcurrentQueue<(Action<object?> Action, object? State)> _posted = new();
    private readonly List<IPoller> _pollers = [];
    private readonly TimerQueue _timers = new();
    private readonly Epoll _epoll = new();
    private readonly WakeEvent _wake;
    private readonly SpinBudget _spin;
    private readonly ReactorOptions _options;
    private IPoller[] _polled = [];
    private int _pollersWithHandle;
    private int _parked;
    private volatile bool _stopping;

    /// <summary>Makes a reactor; <see cref="Run"/> makes the calling thread its thread.</summary>
    public Reactor(ReactorOptions options, IClock? clock = null)
    {
        _options = options;
        Clock = clock ?? SystemClock.Instance;
        Random = new SeededRandom(options.Seed);
        _spin = new SpinBudget(options.MaximumSpin.Ticks * 100);
        _wake = new WakeEvent();
        _epoll.Add(_wake.Handle, IoEvents.Read, _wake);
        Now = Clock.MonotonicNanoseconds;
    }

    /// <inheritdoc/>
    public long Now { get; private set; }
    /// <inheritdoc/>
    public IClock Clock { get; }
    /// <inheritdoc/>
    public IRandom Random { get; }
    /// <summary>Times that the reactor parked.</summary>
    public long Parks { get; private set; }
    /// <summary>Rounds of the loop.</summary>
    public long Rounds { get; private set; }
    /// <summary>Descriptors that are watched.</summary>
    internal int Watches => _epoll.Count;

    /// <inheritdoc/>
    public void Post(Action<object?> action, object? state)
    {
        _posted.Enqueue((action, state));
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _parked) != 0) _wake.Set();
    }

    /// <inheritdoc/>
    public TimerHandle Schedule(long dueNanoseconds, Action<object?> action, object? state) => _timers.Add(dueNanoseconds, action, state);

    /// <inheritdoc/>
    public void Cancel(TimerHandle timer) => _timers.Cancel(timer);

    /// <inheritdoc/>
    public ValueTask Delay(TimeSpan delay)
    {
        var done = new TaskCompletionSource();
        _timers.Add(Clock.MonotonicNanoseconds + delay.Ticks * 100, static state => ((TaskCompletionSource)state!).SetResult(), done);
        return new ValueTask(done.Task);
    }

    /// <inheritdoc/>
    public Task<T> RunBlocking<T>(Func<T> work) => Task.Run(work);

    /// <inheritdoc/>
    public void Add(IPoller poller)
    {
        _pollers.Add(poller);
        Polled();
    }

    /// <inheritdoc/>
    public void Remove(IPoller poller)
    {
        _pollers.Remove(poller);
        Polled();
    }

    /// <inheritdoc/>
    public IoWatch Watch(int handle, IoEvents events, IIoHandler handler) => _epoll.Add(handle, events, handler);

    /// <summary>Ends <see cref="Run"/> after the current round. Thread-safe.</summary>
    public void Stop()
    {
        _stopping = true;
        Post(static _ => { }, null);
    }

    /// <summary>Runs the loop on this thread until <see cref="Stop"/>.</summary>
    public void Run()
    {
        var previous = SynchronizationContext.Current;
        // Awaits of ordinary tasks (control paths) come back to this thread.
        SynchronizationContext.SetSynchronizationContext(new ReactorContext(this));
        try
        {
            Loop();
        }
        catch (Exception fault)
        {
            Environment.FailFast($"{_options.Name}: {fault.Message}", fault);
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(previous);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _epoll.Dispose();
        _wake.Dispose();
    }

    private void Loop()
    {
        long idleSince = 0;
        while (!_stopping)
        {
            Now = Clock.MonotonicNanoseconds;
            Rounds++;
            if (Round() > 0)
            {
                if (idleSince != 0) _spin.Found(Now - idleSince);
                idleSince = 0;
                continue;
            }

            if (idleSince == 0) idleSince = Now;
            if (Now - idleSince < _spin.Current)
            {
                Thread.SpinWait(4);
                continue;
            }

            if (Park() == 0) continue;
            // A socket's work is done by now: the next is waited for anew, and may be worth spinning for.
            _spin.Woken(Clock.MonotonicNanoseconds - idleSince);
            idleSince = 0;
        }
    }

    private int Round()
    {
        int work = 0;
        foreach (var poller in _polled) work += poller.Poll();
        while (_posted.TryDequeue(out var next))
        {
            next.Action(next.State);
            work++;
        }

        if (_timers.NextDue <= Now) work += _timers.Fire(Now);
        // The wake event and the ports' FIFOs matter to the sleeping only; sockets are worth a system call in every round.
        if (_epoll.Count > 1 + _pollersWithHandle) work += _epoll.Wait(0);
        return work;
    }

    private void Polled()
    {
        _polled = [.. _pollers];
        // A poller that watches no descriptor (librados' results) must not hide a socket behind the count.
        _pollersWithHandle = _pollers.Count(static poller => poller is IIoHandler);
    }

    /// <summary>Sleeps until there is work; returns a number above 0 if a descriptor had some, which is done.</summary>
    private int Park()
    {
        bool sleep = true;
        int work = 0;
        Volatile.Write(ref _parked, 1);
        Interlocked.MemoryBarrier();
        foreach (var poller in _polled) sleep &= poller.PrepareToPark();
        if (sleep && _posted.IsEmpty)
        {
            Parks++;
            work = _epoll.Wait(MillisecondsToNextTimer());
        }

        Volatile.Write(ref _parked, 0);
        foreach (var poller in _polled) poller.Unpark();
        return work;
    }

    private int MillisecondsToNextTimer()
    {
        const int Longest = 1000;
        if (_timers.NextDue == long.MaxValue) return Longest;
        long left = _timers.NextDue - Clock.MonotonicNanoseconds;
        return left <= 0 ? 0 : (int)Math.Min(Longest, (left + 999_999) / 1_000_000);
    }

    private sealed class ReactorContext(Reactor reactor) : SynchronizationContext
    {
        public override void Post(SendOrPostCallback callback, object? state) => reactor.Post(static boxed =>
        {
            var (callback, state) = ((SendOrPostCallback, object?))boxed!;
            callback(state);
        }, (callback, state));

        public override void Send(SendOrPostCallback callback, object? state) =>
            throw new NotSupportedException("a reactor must not be waited for");

        public override SynchronizationContext CreateCopy() => this;
    }
}
