using System.Runtime.InteropServices;

namespace Archipelago.Runtime.Hosting;

/// <summary>
/// Turns SIGTERM, SIGINT and SIGQUIT into an orderly shutdown: the first one requests it (destage, flush, drain), later ones change
/// nothing but tell the operator so, through <see cref="Signalled"/>: leaving earlier is <c>down --discard-dirty</c> or SIGKILL, which
/// loses nothing that was acknowledged but leaves the segment for the next start to recover. Dispose restores the default actions.
/// </summary>
public sealed class ShutdownSignal : IDisposable
{
    private readonly CancellationTokenSource _requested = new();
    private readonly TaskCompletionSource<PosixSignal> _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly PosixSignalRegistration[] _registrations;
    private int _count;

    /// <summary>Starts to listen for the three signals.</summary>
    public ShutdownSignal()
    {
        _registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle),
            PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle),
            PosixSignalRegistration.Create(PosixSignal.SIGQUIT, Handle),
        ];
    }

    /// <summary>
    /// Called for every signal with its ordinal, 1 for the one that requests the shutdown, on the runtime's signal thread: it must
    /// return soon. For ordinals from 2 on print <see cref="Hint"/>.
    /// </summary>
    public event Action<PosixSignal, int>? Signalled;

    /// <summary>What to tell an operator who signals again.</summary>
    public static string Hint =>
        "shutdown is under way: dirty data is being destaged and flushed; wait, or see `archipelago status`. To leave without it: "
        + "`archipelago down --discard-dirty`, or SIGKILL, which keeps the segment for the next start to recover";

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => _requested.Token;

    /// <summary>Completes with the first signal.</summary>
    public Task<PosixSignal> Requested => _first.Task;

    /// <summary>
    /// Requests the shutdown without a signal, as the control plane's <c>down</c> does. A signal that comes after it has ordinal 2.
    /// </summary>
    public void Request()
    {
        Interlocked.Increment(ref _count);
        Begin(PosixSignal.SIGTERM);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }

        _requested.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        context.Cancel = true;
        int ordinal = Interlocked.Increment(ref _count);
        Begin(context.Signal);
        Signalled?.Invoke(context.Signal, ordinal);
    }

    private void Begin(PosixSignal signal)
    {
        if (!_first.TrySetResult(signal))
        {
            return;
        }

        try
        {
            _requested.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // A signal that raced with Dispose: nobody waits any more.
        }
    }
}
