using System.Numerics;
using System.Runtime.CompilerServices;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Ports;

namespace Archipelago.Runtime.Routing;

/// <summary>
/// Polls a peer's port: continues whoever waits for a reply, hands requests to the peer, and answers them. The answer of a
/// request that the peer handled at once costs no continuation.
/// </summary>
internal sealed class PortPoller : IPoller, IIoHandler
{
    private const int Batch = 32;
    private const long BeatNanoseconds = 100_000_000;

    private readonly PeerContext _context;
    private readonly Port _port;
    private readonly Completion<int>[] _expected;
    private readonly bool[] _awaited;
    private readonly uint _firstSlot;
    private readonly int _slotMask;
    private long _nextBeat;
    private uint _sample;
    private PendingAnswer? _free;
    private Peer? _peer;

    internal PortPoller(PeerContext context)
    {
        _context = context;
        _port = context.Port;
        _slotMask = _port.Segment.SlotsPerPort - 1;
        _firstSlot = (uint)_port.Number << _port.Segment.SlotShift;
        _expected = new Completion<int>[_port.Segment.SlotsPerPort];
        _awaited = new bool[_expected.Length];
        for (int i = 0; i < _expected.Length; i++) _expected[i] = new Completion<int>();
    }

    /// <summary>From now on requests are accepted.</summary>
    internal void Serve(Peer peer) => _peer = peer;

    /// <summary>No further requests are accepted; replies still are.</summary>
    internal void StopServing() => _peer = null;

    internal ValueTask<int> Expect(in Request request)
    {
        int index = (int)request.Slot & _slotMask;
        _awaited[index] = true;
        return _expected[index].Task;
    }

    /// <summary>Passes on the outcome of a call that was made later than it was asked for.</summary>
    internal async void Relay(Request request, ValueTask<int> outcome)
    {
        int status = await outcome;
        int index = (int)request.Slot & _slotMask;
        _awaited[index] = false;
        _expected[index].Set(status);
    }

    public int Poll()
    {
        int work = 0;
        if (_port.Servers != 0) work += Receive();
        if (_peer != null) work += Accept(_peer);
        // Also for what a socket's handler or a timer sent since the last round: its receiver must not sleep until we park.
        _port.Kick();
        if (_context.Reactor.Now >= _nextBeat) Beat();
        return work;
    }

    public bool PrepareToPark()
    {
        // Replies of work that was done outside of Poll, by a socket or a timer.
        _port.Kick();
        return _port.PrepareToSleep();
    }

    public void Unpark() => _port.Awake();

    public void OnReady(IoEvents events) => _port.DrainWake();

    private int Receive()
    {
        int work = 0;
        for (ulong servers = _port.Servers; servers != 0; servers &= servers - 1)
        {
            int server = BitOperations.TrailingZeroCount(servers);
            int batch = 0;
            while (batch < Batch && _port.TryReceive(server, out var request))
            {
                batch++;
                int index = (int)(request.Slot - _firstSlot);
                // A faulty peer may answer twice: the second answer must not be the next request's.
                if (!_awaited[index]) continue;
                _awaited[index] = false;
                _expected[index].Set(request.Status);
            }

            if (batch == 0) continue;
            _port.EndReceive(server);
            work += batch;
        }

        return work;
    }

    private int Accept(Peer peer)
    {
        int work = 0;
        while (_port.TryReplay(out var replayed))
        {
            work++;
            Handle(peer, replayed);
        }

        for (ulong clients = _port.Clients(); clients != 0; clients &= clients - 1)
        {
            int client = BitOperations.TrailingZeroCount(clients);
            int batch = 0;
            while (batch < Batch && _port.TryAccept(client, out var request))
            {
                batch++;
                Handle(peer, request);
            }

            if (batch == 0) continue;
            _port.EndBatch(client);
            work += batch;
        }

        return work;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Handle(Peer peer, in Request request)
    {
        var statistics = _context.Statistics;
        statistics.InFlight++;
        long started = (_sample++ & 63) == 0 ? _context.Reactor.Clock.MonotonicNanoseconds : 0;
        var outcome = peer.HandleAsync(request);
        if (outcome.IsCompleted) Answer(request, outcome.Result, started);
        else AnswerLater(request, outcome, started);
    }

    private void AnswerLater(in Request request, in ValueTask<int> outcome, long started)
    {
        var pending = _free ?? new PendingAnswer(this);
        _free = pending.Next;
        pending.Wait(request, outcome, started);
    }

    internal void Answered(PendingAnswer pending, in Request request, int status, long started)
    {
        (pending.Next, _free) = (_free, pending);
        Answer(request, status, started);
        // Whoever continued us need not be a poll of this port.
        _port.Kick();
    }

    private void Answer(in Request request, int status, long started)
    {
        var statistics = _context.Statistics;
        statistics.Count(request, status);
        statistics.InFlight--;
        if (started != 0) statistics.Latency.Record(_context.Reactor.Clock.MonotonicNanoseconds - started);
        _port.Reply(request, status);
    }

    private void Beat()
    {
        _nextBeat = _context.Reactor.Now + BeatNanoseconds;
        _port.Beat((ulong)_context.Reactor.Clock.BoottimeNanoseconds);
    }
}
