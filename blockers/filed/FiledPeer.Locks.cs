using System.Runtime.CompilerServices;
using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Storage;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Filed;

/// <summary>ACQUIRE and RELEASE: one lock job at a time, and a look every 100 ms for those who wait.</summary>
public sealed partial class FiledPeer
{
    private static readonly TimeSpan LockPoll = TimeSpan.FromMilliseconds(100);

    // Not an object: the one thing that lock jobs use alone, so that reading an owner and removing its file are one step.
    private readonly StoredObject _lockTurn = new(default, "locks"u8.ToArray());

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> AcquireAsync(Request request)
    {
        while (true)
        {
            int status = await RunLockJob(request);
            if (status != XsegErrno.EBUSY || (request.Flags & RequestFlags.NoSync) != 0) return status;
            if (_draining) return XsegErrno.ESHUTDOWN;
            await Context.Reactor.Delay(LockPoll);
            // Nobody may get a lock that nobody waits for any more.
            if (!PortTable.IsAlive(Context.Segment, request.Issuer)) return XsegErrno.ECANCELED;
            if (request.Deadline != 0 && (ulong)Context.Reactor.Clock.BoottimeNanoseconds > request.Deadline) return XsegErrno.ETIMEDOUT;
        }
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> RunLockJob(Request request)
    {
        if (_pool == null) return XsegErrno.ESHUTDOWN;
        if (request.Target.IsEmpty) return XsegErrno.EINVAL;
        var job = Rent(JobKind.Request, request);
        job.Object = _lockTurn;
        job.Target.Enter(_lockTurn, HoldKind.Alone, 0, 0);
        int status = await Perform(job);
        if (job.Detail != null) Report(job, status);
        job.Target.Leave(_pool!);
        Return(job);
        return status;
    }
}
