using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Ports;

namespace Archipelago.Bench;

/// <summary>Carries requests to the target and back. On the bench's reactor.</summary>
internal abstract class BenchDriver : IPoller
{
    /// <summary>So many requests are sent or taken before the reactor's other work gets its turn.</summary>
    protected const int Quantum = 1024;

    private TaskCompletionSource? _finished;

    /// <summary>The port that issues the requests.</summary>
    internal abstract Port Port { get; }

    /// <summary>Non-null while the run goes on.</summary>
    protected Transfers? Transfers { get; private set; }

    /// <summary>The run; only while <see cref="Transfers"/> is set.</summary>
    protected BenchRun Run { get; private set; } = null!;

    /// <summary>Requests to keep under way.</summary>
    protected int Depth { get; private set; }

    /// <summary>Sends one prepared request and completes with its status: control path.</summary>
    internal abstract Task<int> CallAsync(Request request);

    /// <summary>Keeps <paramref name="depth"/> requests under way until the run is over.</summary>
    internal Task DriveAsync(Transfers transfers, BenchRun run, int depth)
    {
        (Transfers, Run, Depth) = (transfers, run, depth);
        // Not inline: the poller that sets it is in the middle of its round.
        _finished = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        run.Start();
        return _finished.Task;
    }

    public abstract int Poll();

    public abstract bool PrepareToPark();

    public abstract void Unpark();

    /// <summary>To be called in each round: ends the run when its time has come and nothing is under way.</summary>
    protected void CheckEnd()
    {
        if (Transfers == null || !Run.CheckTime() || Run.InFlight != 0) return;
        Transfers = null;
        _finished!.SetResult();
    }
}
