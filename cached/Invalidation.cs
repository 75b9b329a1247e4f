using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>
/// INVALIDATE of a flow: all that is cached of it is forgotten, what the blocker does not have too, because another host has owned the volume
/// meanwhile and what is here is older. Each page goes by itself, so that whoever is killed at it has done a part, and its replay the rest.
/// </summary>
internal sealed class Invalidation(PeerContext context, Store store, ObjectOps objects)
{
    /// <summary>Dirty bytes that were forgotten since the start.</summary>
    internal long DirtyBytes { get; private set; }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> HandleAsync(Request request)
    {
        if (request.Flow == 0 || !request.Target.IsEmpty) return XsegErrno.EINVAL;
        var flow = store.FlowOf(request.Flow);
        long pages = flow.Pages, dirty = flow.LostPages;
        var busy = new List<CachedObject>();
        // What nobody is at goes at once: no pass may begin to bring it down while the others are waited for.
        foreach (var of in store.Objects.All().Where(of => of.Flow == flow).ToList())
        {
            if (of.InPass || of.Exclusive)
            {
                of.Users++;
                busy.Add(of);
                continue;
            }

            dirty += of.DirtyPages;
            Forget(of);
            store.Release(of);
        }

        foreach (var of in busy)
        {
            await objects.HoldDirtyAsync(of);
            // Whoever had it may have given it away.
            if (of.Flow == flow)
            {
                dirty += of.DirtyPages;
                Forget(of);
            }

            of.Users--;
            objects.Leave(of);
        }

        store.ForgetLosses(flow);
        DirtyBytes += dirty << 12;
        context.Log.Log(dirty > 0 ? LogLevel.Warning : LogLevel.Information,
            "flow {Flow} is invalidated: {Pages} pages are forgotten, {Bytes} bytes of them were dirty", flow.Index, pages, dirty << 12);
        int status = await objects.ForwardAsync(request);
        // Who does not know the op keeps nothing.
        return status == XsegErrno.ENOTSUP ? 0 : status;
    }

    private void Forget(CachedObject of)
    {
        store.Forget(of, Existence.Unknown);
        (of.RetryAt, of.Failures) = (0, 0);
    }
}
