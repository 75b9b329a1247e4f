using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>
/// The flows of volumes, snapshots and readers: made when one is opened, freed when room is needed or it is deleted. Each step of freeing may be the last one of this
/// process, see <see cref="FlowRetirement"/>; nothing is dropped by it that is not stable. One reactor.
/// </summary>
/// <param name="context">Of the peer.</param>
/// <param name="data">Route of the volumes' objects.</param>
/// <param name="isUsed">Whether this peer itself is at the volume of a flow.</param>
/// <param name="isStopping">Whether this peer is about to stop.</param>
internal sealed class VolumeFlows(PeerContext context, ObjectIo data, Func<uint, bool> isUsed, Func<bool> isStopping)
{
    /// <summary>Flows that are freed together: their references are looked for once.</summary>
    private const int AtOnce = 32;
    /// <summary>Entries of the page table that are looked at without a pause: some 50 µs.</summary>
    private const int Slice = 4096;
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(10);

    private readonly HashSet<uint> _refused = [], _going = [];
    private Task<int>? _freeing;

    /// <summary>Free entries that there should be, so that opening a volume need not wait for one.</summary>
    private int Low => Math.Clamp(context.Segment.FlowCount / 16, 1, 64);

    /// <summary>Gives back locks that a predecessor had for changes that its death cut off.</summary>
    internal Func<ValueTask>? LetGoOfLeft { get; set; }

    /// <summary>Flows that are just being freed.</summary>
    internal int Going => _going.Count;

    /// <summary>Flows freed since the start.</summary>
    internal long Freed { get; private set; }

    /// <summary>The flow of a volume that this peer is at, made if need be: it is the volume's at once.</summary>
    /// <exception cref="ErrnoException">ENOSPC: the table is full of what cannot be freed.</exception>
    internal ValueTask<uint> TakeAsync(Volume volume) => FindOrAddAsync(volume.Name, -1, volume);

    /// <summary>The flow of a name, made if need be, and used by a port from now on.</summary>
    /// <exception cref="ErrnoException">ENOSPC: the table is full of what cannot be freed.</exception>
    internal async ValueTask<uint> FindOrAddAsync(string name, int user, Volume? of = null)
    {
        while (true)
        {
            try
            {
                uint flow = FlowTable.FindOrUse(context.Segment, Encoding.ASCII.GetBytes(name), user);
                if (of != null) of.Flow = flow;
                if (_freeing == null && FlowTable.CountFree(context.Segment) < Low) _ = FreeInBackgroundAsync();
                return flow;
            }
            catch (XsegException full)
            {
                if (full.Errno == XsegErrno.ENOSPC && await FreeSomeAsync() > 0) continue;
                throw new ErrnoException(full.Errno, $"volume {name}: {full.Message}. Flows are freed for others unless they are open, have a policy of their own (`cache policy NAME default`), or have data that the store does not take", full);
            }
        }
    }

    /// <summary>Frees flows whose volumes or snapshots are gone, in the background: who had them may still be about to let go.</summary>
    internal async void Remove(IEnumerable<string> names)
    {
        string[] left = [.. names];
        for (var delay = TimeSpan.FromMilliseconds(1); left.Length > 0 && delay < LastRetry; delay *= 10)
        {
            await context.Reactor.Delay(delay);
            if (isStopping()) return;
            try
            {
                await FreeAsync([.. left.Select(Find).Where(flow => flow != 0)], areGone: true);
            }
            catch (Exception failed)
            {
                context.Log.LogError(failed, "flows of what was deleted cannot be freed");
                return;
            }

            left = [.. left.Where(name => Find(name) != 0)];
        }
    }

    private uint Find(string name) => FlowTable.Find(context.Segment, Encoding.ASCII.GetBytes(name));

    private async Task FreeInBackgroundAsync()
    {
        // What was refused is asked again in the next round only: a store that takes nothing makes no endless loop.
        try
        {
            while (FlowTable.CountFree(context.Segment) < 2 * Low && await FreeSomeAsync() > 0)
            {
            }
        }
        catch (Exception failed)
        {
            context.Log.LogError(failed, "flows of closed volumes cannot be freed");
        }
    }

    /// <summary>Frees the flows that nobody has used for longest; how many. Who comes while this goes on waits for the same.</summary>
    private async Task<int> FreeSomeAsync()
    {
        if (_freeing != null) return await _freeing;
        _refused.Clear();
        _freeing = FreeOldestAsync();
        try
        {
            return await _freeing;
        }
        finally
        {
            _freeing = null;
        }
    }

    private async Task<int> FreeOldestAsync()
    {
        if (LetGoOfLeft is { } letGo) await letGo();
        while (!isStopping())
        {
            uint[] oldest = [.. FlowRetirement.Unused(context.Segment).Where(flow => !isUsed(flow) && !_refused.Contains(flow)).Take(AtOnce)];
            if (oldest.Length == 0) return 0;
            int freed = await FreeAsync(oldest, areGone: false);
            if (freed > 0) return freed;
        }

        return 0;
    }

    private async Task<int> FreeAsync(uint[] flows, bool areGone)
    {
        // One at a time is at each: what the caches said to one is not true for the next user of the number.
        var begun = FlowRetirement.Begin(context.Segment, [.. flows.Where(flow => !isUsed(flow) && !_going.Contains(flow))], areGone);
        _refused.UnionWith(flows.Except(begun));
        if (begun.Count == 0) return 0;
        _going.UnionWith(begun);
        try
        {
            return await FreeBegunAsync(begun, areGone);
        }
        finally
        {
            _going.ExceptWith(begun);
        }
    }

    private async Task<int> FreeBegunAsync(List<uint> begun, bool areGone)
    {
        var retired = await Task.WhenAll(begun.Select(flow => RetireAsync(flow)));
        // Of all caches, also of one that is not on the route. In parts: this reactor may be the data path's, too; and nobody begins to use what is marked.
        var named = new FlowReferences(context.Segment);
        while (!named.Advance(Slice) && !isStopping()) await context.Reactor.Delay(TimeSpan.Zero);
        int freed = 0;
        for (int i = 0; i < begun.Count; i++)
        {
            uint flow = begun[i];
            if (!isStopping() && retired[i] && !named[flow] && !isUsed(flow) && FlowRetirement.TryEnd(context.Segment, flow, areGone))
            {
                freed++;
                continue;
            }

            _refused.Add(flow);
            FlowRetirement.Abandon(context.Segment, flow);
        }

        Freed += freed;
        context.Log.LogDebug("{Freed} of {Begun} flows of closed volumes were freed", freed, begun.Count);
        return freed;
    }

    private async Task<bool> RetireAsync(uint flow)
    {
        var (status, _) = await data.RunAsync(XsegOp.Retire, flow, default);
        // No cache: whoever answers keeps nothing of the flow but what is not stable.
        if (status == Errno.ENOTSUP) status = await data.FlushAsync(flow);
        return status == 0;
    }
}
