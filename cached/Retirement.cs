using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Cached;

/// <summary>
/// RETIRE of a flow whose number is about to be another volume's: what is dirty is brought down and made stable, then all of it is forgotten, in the segment and in memory.
/// EBUSY where something must stay: what is lost, in use, or not told. It drops nothing that the blocker does not hold stably, so that it may come at any time,
/// also for a flow that is open; who is killed at it has done a part. Not passed on: the FLUSH before is all that a blocker needs to have nothing of the flow.
/// </summary>
internal sealed class Retirement(PeerContext context, Store store, FlushPath flushes)
{
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> HandleAsync(Request request)
    {
        uint index = request.Flow;
        if (index == 0 || !request.Target.IsEmpty || FlowTable.IsShared(context.Segment, index)) return XsegErrno.EINVAL;
        var flow = store.FlowOf(index);
        // The blocker may have an error for it that it has told nobody: asked also where nothing is known to be unstable.
        flow.Unstable = true;
        int status = await flushes.FlushAsync(flow);
        if (status != 0) return status;
        return store.TryRetire(flow) ? 0 : XsegErrno.EBUSY;
    }
}
