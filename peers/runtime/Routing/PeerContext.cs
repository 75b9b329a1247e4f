using System.Runtime.CompilerServices;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Runtime.Routing;

/// <summary>All that a peer may use of the world. Belongs to the peer's reactor thread.</summary>
public sealed class PeerContext
{
    private readonly PortPoller _poller;
    private readonly Dictionary<string, Route> _routes = [];
    private readonly Queue<Completion<bool>>[] _waitingForSlot = [new(), new(), new()];
    /// <summary>Free slots that each use leaves alone, by <see cref="SlotUse"/>.</summary>
    private readonly int[] _reserve;

    internal PeerContext(IReactor reactor, Port port, ILogger log, LocalPeers local)
    {
        (Reactor, Port, Log, Local) = (reactor, port, log, local);
        _poller = new PortPoller(this);
        _reserve = [0, Segment.SlotsPerPort / 4, Segment.SlotsPerPort / 2];
    }

    /// <summary>The reactor: time, randomness, timers, I/O.</summary>
    public IReactor Reactor { get; }
    /// <summary>The peer's port: slots, pages, limbo.</summary>
    public Port Port { get; }
    /// <summary>The segment.</summary>
    public Segment Segment => Port.Segment;
    /// <summary>The peer's log.</summary>
    public ILogger Log { get; }
    /// <summary>Statistics of the peer's port, written by the reactor's thread, readable by all.</summary>
    public PortStatistics Statistics { get; } = new();

    /// <summary>
    /// Counts a request whose slot, extents or pages are not what it says: whoever sent it, or wrote over it, is not to be trusted. Returns
    /// EBADMSG, which is its answer.
    /// </summary>
    public int BadRequest()
    {
        Port.CountBadRequest();
        return Errno.EBADMSG;
    }

    internal LocalPeers Local { get; }
    internal PortPoller Poller => _poller;

    /// <summary>
    /// A named route. Whoever serves it need not have started yet: requests wait for it. The same name gives the same route.
    /// </summary>
    public Route OpenRoute(string name)
    {
        if (!_routes.TryGetValue(name, out var route)) _routes.Add(name, route = new Route(this, name));
        return route;
    }

    /// <summary>Claims a request slot, or waits for one. What frees resources never waits for what merely uses them: see <see cref="SlotUse"/>.</summary>
    public ValueTask<Request> AllocateAsync(SlotUse use = SlotUse.Own) =>
        TryAllocate(use, out var request) ? new ValueTask<Request>(request) : AllocateSlowly(use);

    /// <summary>Frees a request that this peer issued, with its pages, and ends its loans.</summary>
    public void Free(in Request request)
    {
        Port.Free(request);
        // Not inline: a waiter whose request is served by a call frees its slot at once, and thousands would nest.
        int free = Port.FreeSlots;
        for (int use = 0; use < _waitingForSlot.Length && free > _reserve[use]; use++)
        {
            if (!_waitingForSlot[use].TryDequeue(out var turn)) continue;
            Reactor.Post(static turn => ((Completion<bool>)turn!).Set(true), turn);
            return;
        }
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<Request> AllocateSlowly(SlotUse use)
    {
        while (true)
        {
            var turn = new Completion<bool>();
            _waitingForSlot[(int)use].Enqueue(turn);
            await turn.Task;
            if (TryAllocate(use, out var request)) return request;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryAllocate(SlotUse use, out Request request)
    {
        request = default;
        return Port.FreeSlots > _reserve[(int)use] && Port.TryAllocate(out request);
    }
}

/// <summary>What a request slot is wanted for: each use leaves some slots to those before it, so that none of them waits for a later one.</summary>
public enum SlotUse
{
    /// <summary>The peer's own work, which frees what others wait for (destage, FLUSH, RELEASE, fills). May take every slot.</summary>
    Own,
    /// <summary>A client's request that is passed on, and ends by itself. Leaves a quarter.</summary>
    Forward,
    /// <summary>A client's request that may wait for another client's for ever (ACQUIRE). Leaves half.</summary>
    Wait,
}
