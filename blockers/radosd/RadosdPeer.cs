using System.Runtime.CompilerServices;
using Archipelago.Locks;
using Archipelago.Radosd.Librados;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Radosd;

/// <summary>
/// The blocker that keeps objects in a RADOS pool (design 8; the ops' semantics are the blockers' contract, <c>README.md</c> tells
/// what is particular). One reactor; librados' threads only announce results.
/// <para>
/// A request that RADOS does not answer is held, with its pages and its place in the order of its object, until the outcome is
/// known, however long that takes: a write that timed out may take effect later. Deadlines are the gateway's, which answers its
/// client when one passes.
/// </para>
/// </summary>
public sealed partial class RadosdPeer : Peer
{
    private const ulong MaxObject = RadosdOptions.MaxObject;
    private readonly RadosdOptions _options;
    private readonly ObjectOrder _order;
    private readonly FlushBarrier _barrier = new();
    private readonly BounceBuffers _buffers;
    private Admission _admission = null!;
    private SessionKeeper _keeper = null!;
    private Lender _lender = null!;
    private RadosOp? _free;
    private int _underWay;
    private bool _serving;
    private long _nextErrorLog;

    /// <summary>A radosd with these options.</summary>
    public RadosdPeer(RadosdOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxOperations, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxWrites, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxBytes, RadosdOptions.MaxObject);
        _options = options;
        _order = new ObjectOrder(Rados);
        _buffers = new BounceBuffers(options.MaxBytes);
    }

    /// <summary>What this peer did at RADOS.</summary>
    public RadosdStatistics Rados { get; } = new();

    /// <summary>
    /// Connects, fences former instances, records its own. Throws <see cref="ErrnoException"/> if RADOS cannot be reached or the
    /// pool is missing (unless told to wait), or if a former instance cannot be fenced.
    /// </summary>
    public override async ValueTask StartAsync()
    {
        _lender = new Lender(Context);
        _admission = new Admission(_options, Rados, Context.Reactor);
        _locks = new LockService(Context, new RecordsAtRados(this));
        _keeper = new SessionKeeper(_options, Context, _admission, Rados, _locks.Flows.ForgetAll);
        await _keeper.StartAsync();
        _serving = true;
    }

    /// <summary>Waits for everything under way, then disconnects and forgets the recorded instance.</summary>
    public override async ValueTask StopAsync()
    {
        _locks.Stop();
        _keeper.ReleaseWaiters();
        if (_underWay > 0) Context.Log.LogInformation("{Count} requests are still at RADOS; waiting for them", _underWay);
        while (_underWay > 0) await Context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
        _serving = false;
        await _keeper.StopAsync();
        _buffers.Dispose();
        FreeGather();
    }

    /// <inheritdoc/>
    public override ValueTask<int> HandleAsync(Request request)
    {
        if (!_serving) return new ValueTask<int>(Errno.ESHUTDOWN);
        return request.Op switch
        {
            // Nothing is kept here of anybody.
            XsegOp.Ping or XsegOp.Invalidate => new ValueTask<int>(0),
            XsegOp.Read => (request.Flags & RequestFlags.List) == 0 ? ReadAsync(request) : ListAsync(request),
            XsegOp.Write => (request.Flags & RequestFlags.Compare) == 0 ? WriteAsync(request) : SwapAsync(request),
            XsegOp.Flush => FlushAsync(request),
            XsegOp.Discard or XsegOp.WriteZeroes => ClearAsync(request),
            XsegOp.Truncate => TruncateAsync(request),
            XsegOp.Delete => DeleteAsync(request),
            XsegOp.Copy => CopyAsync(request),
            XsegOp.Info => InfoAsync(request),
            XsegOp.Hash => HashAsync(request),
            XsegOp.Acquire => _locks.AcquireAsync(request),
            XsegOp.Release => _locks.ReleaseAsync(request),
            _ => new ValueTask<int>(Errno.ENOTSUP),
        };
    }

    /// <summary>
    /// Asks RADOS for what <paramref name="op"/> says, once there is room. 0 or an errno; what came back is in
    /// <see cref="RadosOp.Result"/>. An instance that turns out to be fenced is replaced and the call repeated: every call may be.
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> CallAsync(RadosOp op, RadosCall call, long bytes = 0)
    {
        (op.Call, op.Bytes) = (call, bytes);
        while (true)
        {
            if (!_admission.TryEnter(op)) await op.Room.Task;
            // At each submit anew, with the instance that submits: it may be another one since the last, and the lock somebody else's.
            if (op.Writes && op.Record == null && !_locks.Flows.Passes(op.Flow))
            {
                _admission.Leave(op);
                _admission.Pump();
                int status = await _locks.VerifyAsync(op.Flow);
                if (status != 0) return status;
                continue;
            }

            int refused = Submit(op);
            if (refused != 0)
            {
                _admission.Leave(op);
                _admission.Pump();
                if (refused == NothingToDo) return 0;
                if (refused == RadosErrno.EAGAIN) throw new InvalidOperationException("radosd's limits do not agree with its queue's");
                return refused;
            }

            await op.Done.Task;
            int errno = op.Result.Errno;
            if (errno is RadosErrno.EBLOCKLISTED or RadosErrno.ECANCELED)
            {
                _keeper.Fenced(op.Session!);
                op.Repeats++;
                Rados.Repeats++;
                continue;
            }

            return errno is 0 or Errno.ENOENT or Errno.EEXIST or Errno.EILSEQ ? errno : Failed(op, errno);
        }
    }

    /// <summary>The status for what RADOS did not do.</summary>
    private int Failed(RadosOp op, int errno)
    {
        if (Context.Reactor.Now >= _nextErrorLog)
        {
            _nextErrorLog = Context.Reactor.Now + 1_000_000_000;
            Context.Log.LogError("RADOS answered {Errno} to {Call} for {Request}", RadosErrno.Name(errno), op.Call, op.Record == null ? op.Request.ToString() : LockRecord.Printable(op.Record, 256));
        }

        return errno switch
        {
            Errno.ENOSPC or Errno.EDQUOT => Errno.ENOSPC,
            Errno.EINVAL or Errno.ENAMETOOLONG or Errno.ENOMEM or Errno.EROFS or Errno.EACCES => errno,
            Errno.EPERM => Errno.EACCES,
            _ => Errno.EIO,
        };
    }

    /// <summary>An operation of this peer's own.</summary>
    private RadosOp Take()
    {
        var op = _free ?? new RadosOp();
        (_free, op.NextFree) = (op.NextFree, null);
        _underWay++;
        return op;
    }

    private RadosOp Rent(in Request request)
    {
        var op = Take();
        (op.Request, op.Flow) = (request, request.Flow);
        return op;
    }

    /// <summary>Rents an operation for a range of the request's object; it is a change if <paramref name="writes"/>.</summary>
    private RadosOp Rent(in Request request, bool writes, ulong start = 0, ulong end = ulong.MaxValue)
    {
        var op = Rent(request);
        (op.Start, op.End, op.Writes) = (start, end, writes);
        if (writes) _barrier.Begin(op);
        return op;
    }

    /// <summary>Gives an operation back that is in no line.</summary>
    private void Return(RadosOp op)
    {
        op.Reset();
        (op.NextFree, _free) = (_free, op);
        _underWay--;
    }

    /// <summary>Ends a request: its place in the order goes to the next, and its operation back.</summary>
    private int End(RadosOp op, int status)
    {
        if (op.Writes) _barrier.End(op);
        _order.Leave(op);
        Return(op);
        return status;
    }
}
