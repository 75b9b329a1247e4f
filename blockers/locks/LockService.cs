using System.Runtime.CompilerServices;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Locks;

/// <summary>ACQUIRE and RELEASE of a blocker, and its gate before all changes. One reactor.</summary>
public sealed class LockService
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(100);

    private readonly PeerContext _context;
    private readonly LockProtocol _protocol;
    private readonly Dictionary<uint, Task<int>> _verifying = [];
    private bool _stopping;

    /// <summary>The locks of a blocker whose records lie in <paramref name="store"/>.</summary>
    public LockService(PeerContext context, LockStore store)
    {
        _context = context;
        Flows = new FlowLocks(context.Segment, context.Reactor.Clock);
        _protocol = new LockProtocol(store, Flows, context.Reactor.Clock, context.Log);
    }

    /// <summary>The gate.</summary>
    public FlowLocks Flows { get; }

    /// <summary>Whether an op changes its target: those pass the gate.</summary>
    public static bool IsChange(XsegOp op) => op is XsegOp.Write or XsegOp.Discard or XsegOp.WriteZeroes or XsegOp.Truncate or XsegOp.Delete or XsegOp.Copy;

    /// <summary>From now on nobody waits for a lock.</summary>
    public void Stop() => _stopping = true;

    /// <summary>ACQUIRE: Target is the lock, Result the owner's cookie, Length the lease, Source the owner in words, Flow whose changes need it.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    public async ValueTask<int> AcquireAsync(Request request)
    {
        if (request.Target.IsEmpty) return Errno.EINVAL;
        var ask = AskOf(request);
        bool waits = (request.Flags & RequestFlags.NoSync) == 0;
        while (true)
        {
            var (status, epoch) = await _protocol.AcquireAsync(ask);
            if (status == 0) request.Serviced = epoch;
            if (status != Errno.EBUSY || !waits) return status;
            if (_stopping) return Errno.ESHUTDOWN;
            await _context.Reactor.Delay(Poll);
            // Nobody may get a lock that nobody waits for any more.
            if (!PortTable.IsAlive(_context.Segment, request.Issuer)) return Errno.ECANCELED;
            if (request.Deadline != 0 && (ulong)_context.Reactor.Clock.BoottimeNanoseconds > request.Deadline) return Errno.ETIMEDOUT;
        }
    }

    /// <summary>RELEASE.</summary>
    public ValueTask<int> ReleaseAsync(Request request) =>
        request.Target.IsEmpty ? new ValueTask<int>(Errno.EINVAL) : _protocol.ReleaseAsync(AskOf(request));

    /// <summary>What a change of a flow that does not pass waits for: 0 and it passes, or what it is answered. Requests of one flow share one look.</summary>
    public ValueTask<int> VerifyAsync(uint flow)
    {
        if (_verifying.TryGetValue(flow, out var underWay)) return new ValueTask<int>(underWay);
        var look = _protocol.VerifyAsync(flow);
        return look.IsCompleted ? look : ShareAsync(flow, look);
    }

    private async ValueTask<int> ShareAsync(uint flow, ValueTask<int> look)
    {
        var shared = look.AsTask();
        _verifying[flow] = shared;
        try
        {
            return await shared;
        }
        finally
        {
            // Those who joined are continued after this: what they then do may begin a new look.
            _verifying.Remove(flow);
        }
    }

    private static LockAsk AskOf(in Request request) => new(request.Target.ToArray(), request.Result.ToArray())
    {
        Owner = LockRecord.Printable(request.Source, LockRecord.MaxOwner),
        Lease = request.Length,
        Flow = request.Flow,
        Force = (request.Flags & RequestFlags.Force) != 0,
        Replayed = request.Attempts > 0,
    };
}
