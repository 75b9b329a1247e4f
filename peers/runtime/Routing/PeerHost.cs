using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Runtime.Routing;

/// <summary>One peer to be hosted: what it is, under which name, and which route leads to it.</summary>
public sealed record PeerPlan
{
    /// <summary>Name of the peer; its port is "NAME.0".</summary>
    public required string Name { get; init; }
    /// <summary>The peer.</summary>
    public required Peer Peer { get; init; }
    /// <summary>Route that leads to the peer, or null for a gateway, which serves nobody in the segment.</summary>
    public string? Serves { get; init; }
    /// <summary>Pages of its own.</summary>
    public int Pages { get; init; }
    /// <summary>A client that comes and goes.</summary>
    public bool Transient { get; init; }
    /// <summary>Cached pages survive the process (cached).</summary>
    public bool KeepsCachePages { get; init; }
    /// <summary>How long to wait for living peers to finish what a dead predecessor had asked of them.</summary>
    public TimeSpan FenceTimeout { get; init; } = TimeSpan.FromSeconds(30);
    /// <summary>See <see cref="PortOptions.QuickDeathWindow"/>.</summary>
    public TimeSpan QuickDeathWindow { get; init; }
}

/// <summary>
/// Hosts peers on one reactor: binds their ports, publishes their routes, starts them from the blocker up, and stops them from
/// the gateway down. All methods are for the reactor's thread.
/// </summary>
public sealed class PeerHost(IReactor reactor, Segment segment, ILoggerFactory logs)
{
    private readonly LocalPeers _local = new();
    private readonly List<Hosted> _hosted = [];

    private sealed record Hosted(PeerPlan Plan, PeerContext Context, IoWatch Watch);

    /// <summary>The hosted peers' contexts, in the order in which they were started.</summary>
    public IEnumerable<(PeerPlan Plan, PeerContext Context)> Peers => _hosted.Select(hosted => (hosted.Plan, hosted.Context));

    /// <summary>Name of the port of a peer of one shard, the only kind so far.</summary>
    public static string PortNameOf(string peer) => peer + ".0";

    /// <summary>
    /// Starts a peer. Start downstream peers (blockers) first, so that a call into them is possible when their users start.
    /// </summary>
    /// <exception cref="XsegException">The port cannot be bound.</exception>
    /// <exception cref="ErrnoException">The peer cannot serve.</exception>
    public async Task<PeerContext> StartAsync(PeerPlan plan)
    {
        var log = logs.CreateLogger(plan.Name);
        var port = Port.Bind(segment, new PortOptions
        {
            Name = PortNameOf(plan.Name),
            Pages = plan.Pages,
            Transient = plan.Transient,
            KeepsCachePages = plan.KeepsCachePages,
            FenceTimeout = plan.FenceTimeout,
            QuickDeathWindow = plan.QuickDeathWindow,
        });
        if (port.Recovered.HadPredecessor) log.LogWarning("port {Port} taken over: {Recovery}", port.Number, port.Recovered);
        if (port.Recovered.SlotsReset > 0) log.LogWarning("{Slots} request slots of port {Port} were damaged, their words made no sense: reset", port.Recovered.SlotsReset, port.Number);
        foreach (string kept in port.Recovered.Kept) log.LogError("failed with EIO because three holders died with it: {Request}", kept);

        var context = new PeerContext(reactor, port, log, _local);
        plan.Peer.Context = context;
        IoWatch? watch = null;
        try
        {
            // Not before the bind: where restarts are stopped nothing is touched.
            if (Port.ReapTransients(segment) is > 0 and var reaped) log.LogInformation("{Reaped} ports of dead clients freed", reaped);
            reactor.Add(context.Poller);
            watch = reactor.Watch(port.WakeHandle, IoEvents.Read, context.Poller);
            await plan.Peer.StartAsync();
            _local[port.Number] = plan.Peer;
            context.Poller.Serve(plan.Peer);
            if (plan.Serves != null && RouteTable.Set(segment, System.Text.Encoding.UTF8.GetBytes(plan.Serves), port.Number, 1) is > 0 and var dropped)
                log.LogWarning("{Routes} entries of the route table made no sense, or led to a port that nobody has: dropped; their peers make theirs anew at their start", dropped);
            _hosted.Add(new Hosted(plan, context, watch));
            return context;
        }
        catch
        {
            reactor.Remove(context.Poller);
            // Before its descriptor is closed, which may be somebody else's next.
            watch?.Dispose();
            port.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Stops all peers, the last started first, each after it came to rest. If one cannot without losing data its exception is
    /// thrown, it and those below it go on, and the segment must stay.
    /// </summary>
    public async Task StopAsync()
    {
        while (_hosted.Count > 0)
        {
            var hosted = _hosted[^1];
            // First no new requests: those of other processes stay queued, for a successor; what is answered from here on would not be covered by the last flush.
            hosted.Context.Poller.StopServing();
            try
            {
                while (hosted.Context.Statistics.InFlight > 0) await reactor.Delay(TimeSpan.FromMilliseconds(1));
                await hosted.Plan.Peer.StopAsync();
            }
            catch
            {
                hosted.Context.Poller.Serve(hosted.Plan.Peer);
                throw;
            }

            _local[hosted.Context.Port.Number] = null;
            reactor.Remove(hosted.Context.Poller);
            hosted.Watch.Dispose();
            hosted.Context.Port.Kick();
            hosted.Context.Port.Dispose();
            _hosted.RemoveAt(_hosted.Count - 1);
        }
    }
}
