using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>
/// Brings dirty pages to the blocker. One pass per object at a time writes all of its dirty buckets, runs of neighbours in
/// one request: so no bucket has two blocker writes in flight. Passes start when somebody waits for the object, or when its
/// turn has come (<see cref="Pace"/>); several run at once. A failed pass leaves its pages dirty and is tried again. One reactor.
/// </summary>
internal sealed partial class Destager
{
    private const int MaxFailuresInBackoff = 6;
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(50);

    private readonly PeerContext _context;
    private readonly Store _store;
    private readonly CachedOptions _options;
    private readonly Route _blocks;
    private readonly Queue<CachedObject> _urgent = new();
    private readonly Stack<CleanWait> _spareWaits = new();
    private readonly Stack<PassRuns> _spareRuns = new();
    private readonly Action<object?> _onTick;
    private readonly List<CachedObject> _passing = [];
    private readonly Pace _pace;
    private int _turn;
    private bool _stopped;
    private bool _pumping;
    private bool _pumpAgain;

    internal Destager(PeerContext context, Store store, Route blocks)
    {
        (_context, _store, _options, _blocks) = (context, store, store.Options, blocks);
        _pace = new Pace(context, store);
        _onTick = static state => ((Destager)state!).OnTick();
    }

    /// <summary>Called when pages have become clean, or might have: writers may be waiting.</summary>
    internal event Action? Progress;
    /// <summary>Called when somebody found no room.</summary>
    internal event Action? Squeezed;

    internal int WritesInFlight { get; private set; }
    /// <summary>Objects that a pass is at.</summary>
    internal IReadOnlyList<CachedObject> Passing => _passing;
    internal long Writes { get; private set; }
    internal long PagesWritten { get; private set; }
    internal long Failures { get; private set; }

    internal void Start() => _onTick(this);

    internal void Stop() => _stopped = true;

    /// <summary>
    /// Completes when everything of the object that was dirty up to now is in the blocker, with 0, or with the errno of the pass
    /// that failed: what failed stays dirty. With <paramref name="stable"/> the pass that it starts asks the blocker to make it
    /// stable at once; whether it is must be asked of the flow.
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> CleanAsync(CachedObject of, bool stable, bool pump = true)
    {
        if (of.DirtyPages == 0 && !of.InPass) return 0;
        var wait = _spareWaits.Count > 0 ? _spareWaits.Pop() : new CleanWait();
        (wait.Sequence, wait.Stable, wait.Next) = (_store.Sequence, stable, of.Waits);
        of.Waits = wait;
        Queue(of);
        if (pump) Pump();
        int status = await wait.Done.Task;
        _spareWaits.Push(wait);
        return status;
    }

    /// <summary>Completes when no pass is at the object. With <see cref="CachedObject.Held"/> none begins either.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> PassEndAsync(CachedObject of)
    {
        if (!of.InPass) return 0;
        var wait = _spareWaits.Count > 0 ? _spareWaits.Pop() : new CleanWait();
        (wait.Sequence, wait.Stable, wait.Next) = (0, false, of.Waits);
        of.Waits = wait;
        int status = await wait.Done.Task;
        _spareWaits.Push(wait);
        return status;
    }

    /// <summary>The object is no longer held: those who wait for it are looked after.</summary>
    internal void Resume(CachedObject of)
    {
        if (of.Waits == null || of.InPass) return;
        Queue(of);
        Pump();
    }

    /// <summary>Somebody found no room: destage without regard to age, and make stable what can then be evicted.</summary>
    internal void Squeeze()
    {
        _pace.Squeeze();
        Pump();
        Squeezed?.Invoke();
    }

    /// <summary>Puts an object in front of all that are merely old.</summary>
    private void Queue(CachedObject of)
    {
        if (of.Urgent) return;
        of.Urgent = true;
        _urgent.Enqueue(of);
    }

    /// <summary>Starts what may be started. A pass that ends at once asks again from within: then the loop here goes round once more.</summary>
    internal void Pump()
    {
        _pumpAgain = true;
        if (_pumping) return;
        _pumping = true;
        while (_pumpAgain)
        {
            _pumpAgain = false;
            StartUrgent();
            StartOld();
        }

        _pumping = false;
    }

    private void StartUrgent()
    {
        while (_urgent.Count > 0 && WritesInFlight < _pace.Depth)
        {
            var next = _urgent.Dequeue();
            next.Urgent = false;
            // Whoever waits for an object that is in a pass, or held, is looked after when that ends.
            if (!next.InPass && !next.Held) Begin(next);
        }
    }

    private void StartOld()
    {
        // One object of each flow in turn, or the first flow would take the whole depth. By index: a pass may end at once, and whoever
        // waited for it may bring in a new flow.
        for (int idle = 0; idle < _store.Flows.Count; idle++)
        {
            _turn = (_turn + 1) % _store.Flows.Count;
            if (NextDue(_store.Flows[_turn]) is not { } next || WritesInFlight >= _pace.DepthFor(next, next.DirtySince)) continue;
            Begin(next);
            idle = -1;
        }
    }

    private CachedObject? NextDue(FlowState flow)
    {
        if (flow.Oldest == null) return null;
        long now = _context.Reactor.Now;
        long due = _pace.DueSince(flow);
        // How soon it may be tried again after a failure is not a matter of its age.
        for (var candidate = flow.Oldest; candidate != null && (candidate.Failures > 0 || candidate.DirtySince <= due); candidate = candidate.Newer)
            if (!candidate.InPass && !candidate.Exclusive && candidate.RetryAt <= now) return candidate;
        return null;
    }

    private void OnTick()
    {
        if (_stopped) return;
        Pump();
        _context.Reactor.Schedule(_context.Reactor.Now + Tick.Ticks * 100, _onTick, this);
    }

    private void Begin(CachedObject of)
    {
        of.PassSince = _context.Reactor.Now;
        if (of.Failures == 0) of.DirtyFrom = of.Listed ? of.DirtySince : of.PassSince;
        of.InPass = true;
        _passing.Add(of);
        Detached.Run(PassAsync(of));
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> PassAsync(CachedObject of)
    {
        ulong sequence = _store.Sequence;
        bool stable = false;
        for (var wait = of.Waits; wait != null; wait = wait.Next) stable |= wait.Stable;
        of.Flow.Unlist(of);

        var runs = _spareRuns.Count > 0 ? _spareRuns.Pop() : new PassRuns();
        runs.Collect(_store, of, _options.DestageRun);
        int status = 0, done = 0;
        for (int i = 0; i < runs.Count; i++)
        {
            runs.Start(runs[i].Fragmented ? WriteFragmentsAsync(of, runs[i].Bucket, stable) : WriteAsync(of, runs[i], stable));
            // A pass with many runs keeps to the depth by waiting for its own oldest one, and gets on with one at a time even so.
            while (done < runs.Started && WritesInFlight >= _pace.DepthFor(of, of.DirtyFrom)) status = First(status, await runs.Outcome(done++));
        }

        while (done < runs.Started) status = First(status, await runs.Outcome(done++));
        runs.Clear();
        _spareRuns.Push(runs);
        End(of, sequence, status);
        return status;
    }

    private static int First(int status, int next) => status != 0 ? status : next;

    private void End(CachedObject of, ulong sequence, int status)
    {
        of.InPass = false;
        _passing.Remove(of);
        of.Failures = status == 0 ? 0 : Math.Min(of.Failures + 1, MaxFailuresInBackoff);
        of.RetryAt = status == 0 ? 0 : _context.Reactor.Now + (50_000_000L << of.Failures);
        if (of.DirtyPages > 0 && !of.Listed)
        {
            of.DirtySince = _context.Reactor.Now;
            of.Flow.List(of);
        }

        // Those who are answered may be the last to use it.
        of.Users++;
        Answer(of, sequence, status);
        if (of.Waits != null) Queue(of);
        of.Users--;
        _store.Release(of);
        Progress?.Invoke();
        Pump();
    }

    /// <summary>Answers those whose writes the pass covered; the others wait for the next one.</summary>
    private static void Answer(CachedObject of, ulong sequence, int status)
    {
        CleanWait? later = null, now = null;
        for (var wait = of.Waits; wait != null;)
        {
            var next = wait.Next;
            if (wait.Sequence <= sequence) (wait.Next, now) = (now, wait);
            else (wait.Next, later) = (later, wait);
            wait = next;
        }

        of.Waits = later;
        while (now != null)
        {
            var answered = now;
            now = now.Next;
            answered.Done.Set(status);
        }
    }
}
