using System.Runtime.CompilerServices;
using Archipelago.Runtime.Hosting;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Memd;

/// <summary>
/// Latency, bandwidth, concurrency, hang and errors. Requests take effect when they are answered; waiting allocates nothing
/// after warm-up.
/// </summary>
public sealed partial class MemdPeer
{
    private readonly Queue<Completion<bool>> _hung = new();
    private readonly Queue<Completion<bool>> _waiting = new();
    private readonly Stack<Completion<bool>> _idle = new();
    private IRandom _random = null!;
    private long[] _ruleHits = [];
    private long _busyUntil;
    private int _running;

    /// <summary>Requests that hang or wait for their turn. On the reactor.</summary>
    public int Held => _hung.Count + _waiting.Count;

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> HandleShaped(Request request)
    {
        while (_options.Hang) await Wait(_hung);
        while (_options.Concurrency != 0 && _running >= _options.Concurrency) await Wait(_waiting);
        _running++;
        long due = Due(request);
        if (due > Context.Reactor.Now)
        {
            var elapsed = Rent();
            Context.Reactor.Schedule(due, static state => ((Completion<bool>)state!).Set(true), elapsed);
            await elapsed.Task;
            _idle.Push(elapsed);
        }

        int status = Fault(request.Op);
        var outcome = status == 0 ? Execute(request) : new ValueTask<int>(status);
        // Who waits for a lock must not keep out the one who would give it back.
        bool waits = request.Op == XsegOp.Acquire;
        if (!waits) status = await outcome;
        _running--;
        // One that leaves lets one in; the limit may have been raised or lifted since.
        if (_waiting.Count > 0) _waiting.Dequeue().Set(true);
        return waits ? await outcome : status;
    }

    private long Due(in Request request)
    {
        var options = _options;
        long now = Context.Reactor.Now, due = now + options.Latency.Ticks * 100;
        if (options.Jitter > TimeSpan.Zero) due += _random.Next(options.Jitter.Ticks * 100 + 1);
        if (options.Bandwidth == 0 || request.Op is not (XsegOp.Read or XsegOp.Write)) return due;
        // One pipe: bytes pass one after another, and the latency comes on top.
        long transfer = (long)(Math.Min(request.Length, MaxObject) * 1e9 / options.Bandwidth);
        _busyUntil = Math.Max(_busyUntil, now) + transfer;
        return due + (_busyUntil - now);
    }

    private int Fault(XsegOp op)
    {
        var rules = _options.Rules;
        for (int i = 0; i < rules.Count; i++)
        {
            var rule = rules[i];
            if (rule.Op is { } only && only != op) continue;
            if (rule.Count != 0 && _ruleHits[i] >= rule.Count) continue;
            if (rule.Probability < 1 && _random.NextDouble() >= rule.Probability) continue;
            _ruleHits[i]++;
            return rule.Errno;
        }

        return 0;
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<bool> Wait(Queue<Completion<bool>> queue)
    {
        var turn = Rent();
        queue.Enqueue(turn);
        await turn.Task;
        _idle.Push(turn);
        return true;
    }

    private Completion<bool> Rent() => _idle.TryPop(out var completion) ? completion : new Completion<bool>();

    /// <summary>Lets those go on that what is in force no longer holds back. They look again themselves.</summary>
    private void Resume()
    {
        for (int count = _options.Hang ? 0 : _hung.Count; count > 0; count--) _hung.Dequeue().Set(true);
        for (int count = _waiting.Count; count > 0; count--) _waiting.Dequeue().Set(true);
    }
}
