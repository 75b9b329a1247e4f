using Archipelago.Runtime.Hosting;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging;

namespace Archipelago.Simulation;

/// <summary>
/// One process of the simulated host: a reactor, a join of the segment of its own (so the kernel tells it from the others),
/// and the peers on it. One thread.
/// </summary>
public sealed class SimProcess
{
    private readonly SimWorld _world;
    private readonly PeerHost _host;
    private long _storesLeft = -1;

    internal SimProcess(SimWorld world, string name, string directory, IRandom random, ILoggerFactory logs)
    {
        (_world, Name) = (world, name);
        Segment = Segment.Join(directory);
        Reactor = new SimReactor(world, random);
        _host = new PeerHost(Reactor, Segment, logs);
    }

    /// <summary>Name, for messages.</summary>
    public string Name { get; }
    /// <summary>The process's own mapping.</summary>
    public Segment Segment { get; }
    /// <summary>The process's reactor.</summary>
    public SimReactor Reactor { get; }
    /// <summary>False once killed or stopped.</summary>
    public bool IsAlive { get; private set; } = true;

    /// <summary>Starts a peer; other processes go on meanwhile.</summary>
    public PeerContext Start(PeerPlan plan)
    {
        var started = Reactor.Run(() => _host.StartAsync(plan));
        _world.RunUntil(() => started.IsCompleted, $"start of {plan.Name}");
        return started.GetAwaiter().GetResult();
    }

    /// <summary>Stops all peers in order and ends the process. The exception of a peer that cannot stop is thrown.</summary>
    public void Stop()
    {
        var stopped = Reactor.Run(_host.StopAsync);
        _world.RunUntil(() => stopped.IsCompleted, $"stop of {Name}");
        stopped.GetAwaiter().GetResult();
        End();
    }

    /// <summary>kill -9: nothing of the process runs any more, and the kernel releases its locks.</summary>
    public void Kill()
    {
        if (!IsAlive) return;
        foreach (var (_, context) in _host.Peers) context.Port.Abandon();
        End();
    }

    /// <summary>
    /// Lets the process die before its store number <paramref name="stores"/> (0: the next one) to the segment. Needs the store
    /// seam, see <see cref="Shared.ArmSwitch"/>.
    /// </summary>
    public void KillBeforeStore(long stores) => _storesLeft = stores;

    /// <summary>SIGSTOP: it does nothing, and its timers wait, until this is false again.</summary>
    public bool IsHung { get; set; }

    internal bool RunOne()
    {
        if (IsHung) return false;
        if (_storesLeft < 0) return Reactor.RunOne();
        CrashPoint.Arm(_storesLeft);
        bool worked;
        try
        {
            worked = Reactor.RunOne();
        }
        catch (CrashException)
        {
            worked = true;
        }

        _storesLeft -= CrashPoint.Stores;
        bool died = CrashPoint.Died;
        CrashPoint.Disarm();
        if (!died) return worked;
        Kill();
        return true;
    }

    private void End()
    {
        IsAlive = false;
        _world.Remove(this);
        Segment.Dispose();
    }
}
