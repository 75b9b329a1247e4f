using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Mapperd.Control;

/// <summary>Long work on a reactor whose results somebody elsewhere reads one by one.</summary>
internal static class ReactorStream
{
    /// <summary>Items that wait for their reader before the work waits, too.</summary>
    private const int Most = 64;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);

    /// <summary>The items as they come. Who stops reading cancels the work, which ends on its own.</summary>
    internal static async IAsyncEnumerable<T> RunAsync<T>(
        IReactor reactor, Func<Func<T, ValueTask>, CancellationToken, Task> work, [EnumeratorCancellation] CancellationToken cancel = default)
    {
        var items = Channel.CreateUnbounded<T>();
        // Not disposed: the work looks at it on its own thread until it ends.
        var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        reactor.Post(async _ =>
        {
            try
            {
                await work(TellAsync, stop.Token);
                items.Writer.Complete();
            }
            catch (Exception failed)
            {
                items.Writer.Complete(failed);
            }
        }, null);
        try
        {
            await foreach (var item in items.Reader.ReadAllAsync(cancel).ConfigureAwait(false)) yield return item;
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
        }

        async ValueTask TellAsync(T item)
        {
            items.Writer.TryWrite(item);
            while (items.Reader.Count > Most && !stop.IsCancellationRequested) await reactor.Delay(Pause);
        }
    }
}
