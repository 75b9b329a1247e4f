namespace Archipelago.Runtime.Scheduling;

/// <summary>Calls from other threads, such as the control plane's, to a reactor and back.</summary>
public static class ReactorCalls
{
    /// <summary>
    /// Runs work on the reactor's thread; the caller goes on elsewhere. What the work throws is the caller's: nothing that a client sends may
    /// reach the reactor's loop. Thread-safe; allocates.
    /// </summary>
    public static Task<T> CallAsync<T>(this IReactor reactor, Func<Task<T>> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        reactor.Post(async _ =>
        {
            try
            {
                done.SetResult(await work());
            }
            catch (Exception failed)
            {
                done.SetException(failed);
            }
        }, null);
        return done.Task;
    }

    /// <summary>As <see cref="CallAsync{T}(IReactor, Func{Task{T}})"/>, of work that is done at once.</summary>
    public static Task<T> CallAsync<T>(this IReactor reactor, Func<T> work) => reactor.CallAsync(() => Task.FromResult(work()));

    /// <summary>As <see cref="CallAsync{T}(IReactor, Func{Task{T}})"/>, of work without a result.</summary>
    public static Task CallAsync(this IReactor reactor, Func<Task> work) => reactor.CallAsync(async () =>
    {
        await work();
        return true;
    });

    /// <summary>As <see cref="CallAsync(IReactor, Func{Task})"/>, of work that is done at once.</summary>
    public static Task CallAsync(this IReactor reactor, Action work) => reactor.CallAsync(() =>
    {
        work();
        return true;
    });
}
