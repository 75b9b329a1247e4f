using Archipelago.Runtime.Hosting;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Simulation;

/// <summary>
/// A reactor in virtual time: it does one piece of work at a time, a timer, a posted action or a poll, in an order drawn from
/// the world's seed. File descriptors are never ready: the world polls instead of sleeping. One thread.
/// </summary>
public sealed class SimReactor : IReactor
{
    private readonly SimWorld _world;
    private readonly SimTimers _timers = new();
    private readonly Queue<(Action<object?> Action, object? State)> _posted = new();
    private readonly List<IPoller> _pollers = [];
    private readonly ReactorContext _context;

    internal SimReactor(SimWorld world, IRandom random)
    {
        (_world, Random) = (world, random);
        _context = new ReactorContext(this);
    }

    /// <inheritdoc/>
    public long Now => _world.Clock.Now;
    /// <inheritdoc/>
    public IClock Clock => _world.Clock;
    /// <inheritdoc/>
    public IRandom Random { get; }

    internal long NextDue => _timers.NextDue;

    /// <inheritdoc/>
    public void Post(Action<object?> action, object? state) => _posted.Enqueue((action, state));

    /// <inheritdoc/>
    public TimerHandle Schedule(long dueNanoseconds, Action<object?> action, object? state) => _timers.Add(dueNanoseconds, action, state);

    /// <inheritdoc/>
    public void Cancel(TimerHandle timer) => _timers.Cancel(timer);

    /// <inheritdoc/>
    public ValueTask Delay(TimeSpan delay)
    {
        var done = new TaskCompletionSource();
        _timers.Add(Now + delay.Ticks * 100, static state => ((TaskCompletionSource)state!).SetResult(), done);
        return new ValueTask(done.Task);
    }

    /// <summary>Runs the work at once: in the simulation nothing blocks.</summary>
    public Task<T> RunBlocking<T>(Func<T> work) => Task.FromResult(work());

    /// <inheritdoc/>
    public void Add(IPoller poller) => _pollers.Add(poller);

    /// <inheritdoc/>
    public void Remove(IPoller poller) => _pollers.Remove(poller);

    /// <inheritdoc/>
    public IoWatch Watch(int handle, IoEvents events, IIoHandler handler) => new DeafWatch();

    /// <summary>Runs <paramref name="action"/> as if on the reactor: awaits come back to it.</summary>
    public T Run<T>(Func<T> action)
    {
        var before = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(_context);
        try
        {
            return action();
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(before);
        }
    }

    /// <summary>Does one piece of work; false if there is none at this time.</summary>
    internal bool RunOne() => Run(RunOneHere);

    private bool RunOneHere()
    {
        int first = (int)_world.Random.Next(3);
        for (int i = 0; i < 3; i++)
            if (TryKind((first + i) % 3)) return true;
        return false;
    }

    private bool TryKind(int kind)
    {
        switch (kind)
        {
            case 0:
                return _timers.FireOne(Now);
            case 1:
                if (!_posted.TryDequeue(out var next)) return false;
                next.Action(next.State);
                return true;
            default:
                int count = _pollers.Count, start = count == 0 ? 0 : (int)_world.Random.Next(count);
                for (int i = 0; i < count; i++)
                    if (_pollers[(start + i) % count].Poll() > 0) return true;
                return false;
        }
    }

    private sealed class DeafWatch : IoWatch
    {
        public override void Change(IoEvents events)
        {
        }

        public override void Dispose()
        {
        }
    }

    private sealed class ReactorContext(SimReactor reactor) : SynchronizationContext
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
