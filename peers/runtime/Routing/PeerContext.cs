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
    private readonly Queue<Completion<bool>> _waitingForSlot = new();

    internal PeerContext(IReactor reactor, Port port, ILogger log, LocalPeers local)
    {
        (Reactor, Port, Log, Local) = (reactor, port, log, local);
        _poller = new PortPoller(this);
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

    /// <summary>Claims a request slot, or waits for one.</summary>
    public ValueTask<Request> AllocateAsync() =>
        Port.TryAllocate(out var request) ? new ValueTask<Request>(request) : AllocateSlowly();

    /// <summary>Frees a request that this peer issued, with its pages, and ends its loans.</summary>
    public void Free(in Request request)
    {
        Port.Free(request);
        // Not inline: a waiter whose request is served by a call frees its slot at once, and thousands would nest.
        if (_waitingForSlot.Count > 0) Reactor.Post(static turn => ((Completion<bool>)turn!).Set(true), _waitingForSlot.Dequeue());
    }

    private async ValueTask<Request> AllocateSlowly()
    {
        while (true)
        {
            var turn = new Completion<bool>();
            _waitingForSlot.Enqueue(turn);
            await turn.Task;
            if (Port.TryAllocate(out var request)) return request;
        }
    }
}
