using System.Diagnostics;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Bench;

/// <summary>How far a run is: for a progress line.</summary>
/// <param name="Phase">Where it stands.</param>
/// <param name="Requests">Requests answered in the measured phase.</param>
/// <param name="Limit">Requests to be made, or <see cref="long.MaxValue"/>.</param>
/// <param name="Elapsed">Time in the measured phase.</param>
public readonly record struct BenchProgress(BenchPhase Phase, long Requests, long Limit, TimeSpan Elapsed);

/// <summary>
/// Runs the bench on a reactor of its own, against peers of other processes, or (with <paramref name="hostPeers"/>) against peers
/// that it hosts on the same reactor. One run per instance.
/// </summary>
/// <param name="options">What to do.</param>
/// <param name="segment">The segment to use.</param>
/// <param name="logs">Logs of peers that are hosted here.</param>
/// <param name="hostPeers">Starts the peers to be hosted, from the blocker up; null for none. Called on the reactor.</param>
public sealed class BenchRunner(BenchOptions options, Segment segment, ILoggerFactory logs, Func<PeerHost, Task>? hostPeers = null)
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(200);

    /// <summary>Pages that a run needs for itself, beside those of its target.</summary>
    public static int PagesNeeded(BenchOptions options) => Transfers.PagesNeeded(options);

    private readonly string _portName = $"bench.{Environment.ProcessId}.{Guid.NewGuid().ToString("n")[..8]}";
    private volatile BenchRun? _run;

    /// <summary>Runs, and calls <paramref name="progress"/> a few times a second on the calling thread, which it blocks.</summary>
    /// <exception cref="ErrnoException">The run cannot be made: nobody serves the route (ENOENT), the target hangs (ETIMEDOUT), …</exception>
    public BenchReport Run(Action<BenchProgress>? progress = null, CancellationToken cancel = default)
    {
        if (options.Depth > segment.SlotsPerPort)
            throw new ErrnoException(Errno.EINVAL, $"--depth: expected at most {segment.SlotsPerPort}, the slots of a port of this segment ([segment] slots), found {options.Depth}");
        var outcome = new TaskCompletionSource<BenchReport>(TaskCreationOptions.RunContinuationsAsynchronously);
        var reactor = new Reactor(new ReactorOptions { Name = "bench", MaximumSpin = options.Spin, Seed = (ulong)options.Seed });
        var thread = new Thread(() => RunReactor(reactor, outcome)) { Name = "bench", IsBackground = true };
        thread.Start();
        Watch(outcome.Task, progress, cancel);
        reactor.Stop();
        thread.Join();
        reactor.Dispose();
        return outcome.Task.GetAwaiter().GetResult();
    }

    private void Watch(Task outcome, Action<BenchProgress>? progress, CancellationToken cancel)
    {
        var stalled = Stopwatch.StartNew();
        (long Requests, long Others, BenchPhase Phase) last = (-1, 0, BenchPhase.Preparing);
        while (!outcome.Wait0(Tick))
        {
            cancel.ThrowIfCancellationRequested();
            var run = _run;
            if (run == null) continue;
            var now = (run.Requests, run.Others, run.Phase);
            if (now != last) stalled.Restart();
            last = now;
            if (stalled.Elapsed > options.Timeout)
                throw new ErrnoException(Errno.ETIMEDOUT, $"the target of route '{options.EffectiveRoute}' has not answered for {options.Timeout.TotalSeconds:0.#} s; is it stopped or hung? See `archipelago segment ports`");
            progress?.Invoke(new BenchProgress(run.Phase, run.Requests, run.RequestLimit, run.Elapsed));
        }
    }

    private void RunReactor(Reactor reactor, TaskCompletionSource<BenchReport> outcome)
    {
        try
        {
            if (options.Core >= 0) ThreadCpu.Pin(options.Core);
        }
        catch (ErrnoException e)
        {
            outcome.SetException(e);
            return;
        }

        reactor.Post(async _ =>
        {
            try
            {
                outcome.SetResult(await RunAsync(reactor));
            }
            catch (Exception e)
            {
                outcome.SetException(e);
            }
        }, null);
        reactor.Run();
    }

    private async Task<BenchReport> RunAsync(Reactor reactor)
    {
        if (hostPeers == null) return await RunOverLinks(reactor);
        var host = new PeerHost(reactor, segment, logs);
        await hostPeers(host);
        var context = await host.StartAsync(new PeerPlan { Name = _portName, Peer = new BenchPeer(), Pages = Transfers.PagesNeeded(options), Transient = true });
        var driver = new CallDriver(context, options.EffectiveRoute);
        reactor.Add(driver);
        var report = await new BenchSession(options, reactor, driver, inProcess: true).RunAsync(run => _run = run);
        reactor.Remove(driver);
        await host.StopAsync();
        return report;
    }

    private async Task<BenchReport> RunOverLinks(Reactor reactor)
    {
        using var port = Port.Bind(segment, new PortOptions { Name = _portName, Pages = Transfers.PagesNeeded(options), Transient = true });
        var (server, shards) = await Resolve(reactor);
        var driver = new LinkDriver(reactor, port, server, shards);
        reactor.Add(driver);
        using var watch = reactor.Watch(port.WakeHandle, IoEvents.Read, driver);
        try
        {
            return await new BenchSession(options, reactor, driver, inProcess: false).RunAsync(run => _run = run);
        }
        finally
        {
            reactor.Remove(driver);
        }
    }

    private async Task<(int Server, int Shards)> Resolve(Reactor reactor)
    {
        byte[] name = System.Text.Encoding.UTF8.GetBytes(options.EffectiveRoute);
        if (options.Op == BenchOp.Copy) return (0, 0);
        var waited = Stopwatch.StartNew();
        while (true)
        {
            if (RouteTable.TryFind(segment, name, out int server, out int shards) && PortTable.IsAlive(segment, server)) return (server, shards);
            if (waited.Elapsed > options.Timeout)
                throw new ErrnoException(Errno.ENOENT, $"nobody serves the route '{options.EffectiveRoute}' in {segment.DirectoryPath}; is the peer running? (`archipelago status`)");
            await reactor.Delay(TimeSpan.FromMilliseconds(20));
        }
    }
}

internal static class WaitExtensions
{
    /// <summary>Waits without throwing what the task failed with.</summary>
    internal static bool Wait0(this Task task, TimeSpan limit) => Task.WhenAny(task, Task.Delay(limit)).GetAwaiter().GetResult() == task;
}
