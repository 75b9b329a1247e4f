using System.Runtime.CompilerServices;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Memd;

/// <summary>ACQUIRE and RELEASE: named exclusive locks beside the objects.</summary>
public sealed partial class MemdPeer
{
    private static readonly TimeSpan LockPoll = TimeSpan.FromMilliseconds(100);
    private readonly Dictionary<Hash128, byte[]> _locks = [];

    private ValueTask<int> Acquire(in Request request)
    {
        if (request.Target.IsEmpty) return new ValueTask<int>(XsegErrno.EINVAL);
        if (TryAcquire(request)) return new ValueTask<int>(0);
        return (request.Flags & RequestFlags.NoSync) != 0 ? new ValueTask<int>(XsegErrno.EBUSY) : AcquireLater(request);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> AcquireLater(Request request)
    {
        while (true)
        {
            await Context.Reactor.Delay(LockPoll);
            // Nobody may get a lock that nobody waits for any more.
            if (!PortTable.IsAlive(Context.Segment, request.Issuer)) return XsegErrno.ECANCELED;
            if (request.Deadline != 0 && (ulong)Context.Reactor.Clock.BoottimeNanoseconds > request.Deadline) return XsegErrno.ETIMEDOUT;
            if (TryAcquire(request)) return 0;
            if (_stopping) return XsegErrno.ESHUTDOWN;
        }
    }

    private bool TryAcquire(in Request request)
    {
        if (_locks.TryGetValue(request.Hash, out byte[]? owner)) return request.Result.SequenceEqual(owner);
        _locks.Add(request.Hash, request.Result.ToArray());
        return true;
    }

    private int Release(in Request request)
    {
        if (!_locks.TryGetValue(request.Hash, out byte[]? owner)) return XsegErrno.ENOENT;
        if (!request.Result.SequenceEqual(owner) && (request.Flags & RequestFlags.Force) == 0) return XsegErrno.EACCES;
        _locks.Remove(request.Hash);
        return 0;
    }
}
