using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cli.Daemon;

/// <summary>The end: everything stable first, then the peers from the gateway down, then the segment.</summary>
internal sealed partial class PeerProcess
{
    private static readonly TimeSpan RetryDrain = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _stopGate = new(1);
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Waits for a signal or for `down`. A drain that fails after a signal is tried again: the data is worth more than the time.</summary>
    private async Task ServeAsync()
    {
        while (true)
        {
            await Task.WhenAny(_stopped.Task, _signal.Requested);
            if (_stopped.Task.IsCompleted) return;
            try
            {
                // Who is stopped with all others at once finds some of them gone.
                await StopAsync(new StopRequest(false, false, null), chain: false, step => _log.LogInformation("{Step}", step.Message));
                return;
            }
            catch (ErrnoException e)
            {
                _log.LogError("the data cannot be made stable, nothing is given up: {Cause}. Next attempt in {Delay} s; `archipelago down --discard-dirty` leaves without it", e.Message, RetryDrain.TotalSeconds);
            }

            await Task.WhenAny(_stopped.Task, Task.Delay(RetryDrain));
        }
    }

    /// <summary>What `down` does, step by step. Cancelling it cancels nothing that has begun.</summary>
    internal async IAsyncEnumerable<StopStep> StopSteps(StopRequest request, [EnumeratorCancellation] CancellationToken cancel)
    {
        var steps = Channel.CreateUnbounded<StopStep>();
        var work = Task.Run(async () =>
        {
            try
            {
                await StopAsync(request, chain: true, step => steps.Writer.TryWrite(step));
                steps.Writer.Complete();
                return true;
            }
            catch (Exception e)
            {
                steps.Writer.Complete(e);
                return false;
            }
        }, CancellationToken.None);
        try
        {
            await foreach (var step in steps.Reader.ReadAllAsync(cancel)) yield return step;
        }
        finally
        {
            // Also if the asker has gone meanwhile.
            if (!request.DiscardDirty && !request.CheckOnly) _ = work.ContinueWith(done => done.Result && _stopped.TrySetResult(), TaskScheduler.Default);
        }
    }

    private async Task StopAsync(StopRequest request, bool chain, Action<StopStep> tell)
    {
        if (request.DiscardDirty)
        {
            Leave($"leaving with {Dirty()} dirty pages, by request", tell);
            return;
        }

        if (RouteNeverServed() is { } route && Dirty() == 0)
        {
            // Nobody there to flush, and nothing that could be: what waits for it waits in the segment, for whoever comes next.
            if (!request.CheckOnly) Leave($"nothing is dirty, and nobody has ever served route '{route}'", tell);
            return;
        }

        if (!await _stopGate.WaitAsync(TimeSpan.Zero)) throw new ErrnoException(Errno.EALREADY, "the process is being stopped already; see its log");
        try
        {
            // Before anything stops: if this fails all goes on as it was.
            var limit = request.TimeoutSeconds is { } s ? TimeSpan.FromSeconds(s) : _config.Drain;
            if (request.CheckOnly)
            {
                await FlushAsync(limit, chain, tell);
                return;
            }

            _manager.Stopping();
            _status.State = "stopping";
            await FlushAsync(limit, chain, tell);
            tell(new StopStep("stopping the peers", Dirty()));
            var stopping = _reactor.Reactor.CallAsync(_host.StopAsync);
            while (await Task.WhenAny(stopping, Task.Delay(500)) != stopping)
            {
                tell(new StopStep("destaging", Dirty()));
                _manager.ExtendTimeout(TimeSpan.FromSeconds(30));
            }

            await stopping;
            tell(new StopStep(SegmentOpener.Remove(_segment, request.KeepSegment), 0));
        }
        catch
        {
            _status.State = "running";
            throw;
        }
        finally
        {
            _stopGate.Release();
        }
    }

    /// <summary>Ends the process at once. The segment is the caller's to destroy: only when we are dead does nobody use it any more.</summary>
    private void Leave(string why, Action<StopStep> tell)
    {
        tell(new StopStep(why, Dirty()));
        _log.LogWarning("{Why}", why);
        _logging.Writer.Flush(TimeSpan.FromSeconds(1));
        // After the answer is out. Not an exit in order: that would wait for peers that hang.
        _ = Task.Delay(200).ContinueWith(_ => _exit(CommandLine.ExitCode.Ok), TaskScheduler.Default);
    }

    private long Dirty() => _segment.DirtyPages();

    [LibraryImport("libc")]
    private static partial void _exit(int code);
}
