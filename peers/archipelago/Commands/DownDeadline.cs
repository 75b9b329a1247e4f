using System.Diagnostics;
using Archipelago.Runtime;

namespace Archipelago.Cli.Commands;

/// <summary>The time that `down` may take as a whole; zero for no limit of its own.</summary>
internal sealed class DownDeadline(TimeSpan limit)
{
    /// <summary>A process that keeps to its time can still say so.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);
    /// <summary>Shortest time that a step gets.</summary>
    private static readonly TimeSpan Least = TimeSpan.FromMilliseconds(100);

    private readonly Stopwatch _spent = Stopwatch.StartNew();

    /// <summary>What is left of it; null without a limit.</summary>
    internal TimeSpan? Left => limit == TimeSpan.Zero ? null : limit - _spent.Elapsed is var left && left > Least ? left : Least;

    /// <summary>The same for a request.</summary>
    internal double? SecondsLeft => Left?.TotalSeconds;

    /// <summary>Does one step, which is left to itself when the time is over.</summary>
    /// <exception cref="ErrnoException">ETIMEDOUT.</exception>
    internal async Task RunAsync(int process, bool stops, Func<CancellationToken, Task> step, CancellationToken cancel)
    {
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        if (Left is { } left) limited.CancelAfter(left + Grace);
        try
        {
            await step(limited.Token);
        }
        catch (OperationCanceledException e) when (!cancel.IsCancellationRequested)
        {
            throw new ErrnoException(Errno.ETIMEDOUT, stops
                ? $"process {process} is being stopped, but has not ended within {limit.TotalSeconds:0.#} s; it goes on with that, see its log and `archipelago status`"
                : $"process {process} does not answer within {limit.TotalSeconds:0.#} s; nothing was stopped", e);
        }
    }
}
