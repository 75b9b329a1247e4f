using System.Numerics;
using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Ports;

/// <summary>The issuing end: requests to other ports, and sleep and wake-up of both ends.</summary>
public sealed unsafe partial class Port
{
    private readonly ClientLink?[] _clientLinks;
    private ulong _servers;
    private ulong _touchedServers;
    private uint _sleep = (uint)Environment.TickCount;

    private sealed class ClientLink(RingProducer requests, RingConsumer replies)
    {
        internal readonly RingProducer Requests = requests;
        internal readonly RingConsumer Replies = replies;
    }

    /// <summary>Ports that this one has sent to, as a bit mask.</summary>
    public ulong Servers => _servers;

    /// <summary>Opens the link to <paramref name="server"/>; does nothing if it is open.</summary>
    public void Connect(int server)
    {
        if (_clientLinks[server] != null) return;
        var link = new ClientLink(
            new RingProducer(Segment.RingAt(Number, server, 0), Segment.RingCapacity),
            new RingConsumer(Segment.RingAt(Number, server, 1), Segment.RingCapacity));
        // Replies to a predecessor: its slots are fenced, and the ring must have room for ours.
        link.Replies.Clear();
        _clientLinks[server] = link;
        _servers |= 1ul << server;
        Shared.Or(ref Segment.PortAt(server)->Inbound, 1ul << Number);
    }

    /// <summary>
    /// Hands a prepared request to <paramref name="server"/>, which is woken by <see cref="Kick"/>. False, with the request
    /// still ours, if the server is a whole ring behind: try again later.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TrySubmit(in Request request, int server)
    {
        var link = _clientLinks[server] ?? Opened(server);
        Shared.Store(ref request.Pointer->Word, new SlotWord(SlotState.Queued, server, request.Generation).Value);
        if (!link.Requests.TryPush(request.Slot, request.Generation)) return TakeBack(request, server);
        _touchedServers |= 1ul << server;
        return true;
    }

    /// <summary>Marks a request as run by a peer of this process, which is called directly: no ring, but recovery can see it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void MarkRunning(in Request request, int server) =>
        Shared.Store(ref request.Pointer->Word, new SlotWord(SlotState.Running, server, request.Generation).Value);

    /// <summary>Takes the next reply from <paramref name="server"/>. The request is ours again; its status and result may be read.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryReceive(int server, out Request request)
    {
        var replies = _clientLinks[server]!.Replies;
        while (replies.TryPop(out uint number, out uint generation))
        {
            // Before the slot can be used again: so the ring, as large as the slots, has room for every reply.
            replies.PublishHead();
            var slot = Segment.SlotAt(number);
            if (slot != null && number >> Segment.SlotShift == (uint)Number
                && Volatile.Read(ref slot->Word) == new SlotWord(SlotState.Replied, server, generation).Value)
            {
                request = new Request(Segment, slot, number, generation);
                Shared.Store(ref slot->Word, new SlotWord(SlotState.Owned, Number, generation).Value);
                return true;
            }

            Shared.Count(ref _entry->StaleEntries);
        }

        request = default;
        return false;
    }

    /// <summary>Ends a batch of <see cref="TryReceive"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void EndReceive(int server) => _clientLinks[server]!.Replies.PublishHead();

    /// <summary>Wakes everybody that was sent something since the last call and that sleeps. Once per round, not per request.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Kick()
    {
        ulong touched = _touchedServers | _touchedClients;
        if (touched == 0) return;
        (_touchedServers, _touchedClients) = (0, 0);
        // Entry stored, then flag loaded: against the sleeper's flag stored, then ring loaded.
        Interlocked.MemoryBarrier();
        for (; touched != 0; touched &= touched - 1)
        {
            int port = BitOperations.TrailingZeroCount(touched);
            if (Volatile.Read(ref Segment.PortAt(port)->Sleeping) != 0) _waker.Wake(port);
        }
    }

    /// <summary>
    /// Announces that this end is about to sleep; true if it may: then wait on <see cref="WakeHandle"/>, and call
    /// <see cref="Awake"/> afterwards in any case.
    /// </summary>
    public bool PrepareToSleep()
    {
        if (++_sleep == 0) _sleep = 1;
        Shared.Store(ref _entry->Sleeping, _sleep);
        Interlocked.MemoryBarrier();
        return _replay.Count == 0 && NothingPending();
    }

    /// <summary>Ends the sleep: producers no longer pay a system call.</summary>
    public void Awake() => Shared.Store(ref _entry->Sleeping, 0u);

    /// <summary>Empties the FIFO after a wake-up.</summary>
    public void DrainWake() => _waker.Drain(Number);

    /// <summary>File descriptor that becomes readable when somebody wakes this port: for poll(2) or epoll(7).</summary>
    public int WakeHandle => _waker.Handle(Number);

    /// <summary>Wakes this port's own reactor, from any thread.</summary>
    public void Wake()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _entry->Sleeping) != 0) _waker.Wake(Number);
    }

    private bool NothingPending()
    {
        bool pending = false;
        int damaged = 0;
        for (ulong clients = Clients(); clients != 0; clients &= clients - 1)
        {
            var link = _requestLinks[BitOperations.TrailingZeroCount(clients)]!;
            damaged += link.SkipDamaged();
            pending |= link.HasMore;
        }

        for (ulong servers = _servers; servers != 0; servers &= servers - 1)
        {
            var link = _clientLinks[BitOperations.TrailingZeroCount(servers)]!.Replies;
            damaged += link.SkipDamaged();
            pending |= link.HasMore;
        }

        if (damaged != 0) _entry->CorruptEntries += (ulong)damaged;
        return !pending;
    }

    private ClientLink Opened(int server)
    {
        Connect(server);
        return _clientLinks[server]!;
    }

    private bool TakeBack(in Request request, int server)
    {
        var queued = new SlotWord(SlotState.Queued, server, request.Generation);
        // A server that restarts at this instant may have found the request in its slot: then it is under way after all.
        return !Shared.TrySwap(ref request.Pointer->Word, queued.Value, new SlotWord(SlotState.Owned, Number, request.Generation).Value);
    }
}
