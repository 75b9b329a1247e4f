using System.Runtime.CompilerServices;
using Archipelago.Xseg.Memory;

namespace Archipelago.Runtime.Scheduling;

/// <summary>
/// Lets a task run on that nobody awaits, and takes its result so that its pooled box is reused. An exception in it is our own
/// fault and reaches the reactor's loop. One reactor.
/// </summary>
public sealed class Detached
{
    [ThreadStatic] private static Detached? t_free;

    private readonly Action _finish;
    private ValueTaskAwaiter<int> _awaiter;
    private Detached? _next;

    private Detached() => _finish = Finish;

    /// <summary>Lets <paramref name="task"/> go.</summary>
    public static void Run(in ValueTask<int> task)
    {
        if (task.IsCompleted)
        {
            _ = task.Result;
            return;
        }

        var detached = t_free ?? new Detached();
        t_free = detached._next;
        detached._awaiter = task.GetAwaiter();
        detached._awaiter.UnsafeOnCompleted(detached._finish);
    }

    private void Finish()
    {
        var awaiter = _awaiter;
        _awaiter = default;
        (_next, t_free) = (t_free, this);
        try
        {
            awaiter.GetResult();
        }
        catch (CrashException)
        {
            // Whom a test has killed is gone; the process that it is a part of goes on.
        }
    }
}
