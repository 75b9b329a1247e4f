using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Inspection;

/// <summary>Asks the store for the sizes of objects, a few at a time, and rests as long as it works: guests have the better right to it. One reactor.</summary>
internal sealed class ObjectSizes(PeerContext context, ObjectIo data, Func<bool> isCancelled)
{
    private const int Width = 8, Burst = 32;

    /// <summary>Size of each object in bytes, -1 for one that does not exist, in the order that was asked.</summary>
    /// <exception cref="ErrnoException">The store fails; ECANCELED.</exception>
    internal async ValueTask<long[]> AskAsync(IReadOnlyList<(ulong Layer, ulong Index)> objects)
    {
        var sizes = new long[objects.Count];
        int next = 0;
        ErrnoException? fault = null;
        await Task.WhenAll(Enumerable.Range(0, Math.Min(Width, objects.Count)).Select(_ => WorkAsync()));
        return fault == null ? sizes : throw fault;

        async Task WorkAsync()
        {
            long started = context.Reactor.Now;
            for (int done = 1; fault == null && next < objects.Count; done++)
            {
                if (isCancelled())
                {
                    fault = new ErrnoException(Errno.ECANCELED, "ended before it was done");
                    return;
                }

                int at = next++;
                var name = LayerName.Data(objects[at].Layer, objects[at].Index);
                var (status, size) = await data.RunAsync(XsegOp.Info, data.Flow, name);
                if (status is not (0 or Errno.ENOENT)) fault ??= new ErrnoException(status, $"object {System.Text.Encoding.ASCII.GetString(name)} cannot be asked for its size: {Errno.Describe(status)}");
                sizes[at] = status == 0 ? (long)size : -1;
                if (done % Burst != 0) continue;
                await context.Reactor.Delay(TimeSpan.FromTicks((context.Reactor.Now - started) / 100));
                started = context.Reactor.Now;
            }
        }
    }
}
