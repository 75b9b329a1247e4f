using System.Runtime.CompilerServices;
using Archipelago.Radosd.Librados;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Radosd;

/// <summary>
/// ACQUIRE and RELEASE: an advisory lock of RADOS, without a lease, on an object of the lock's name in the namespace of locks. The
/// owner is the request's cookie, whichever client instance took the lock for it: a lock outlives the radosd that took it.
/// The calls block, on helper threads.
/// </summary>
public sealed partial class RadosdPeer
{
    private const string LockName = "archipelago";
    private static readonly TimeSpan LockPoll = TimeSpan.FromMilliseconds(100);

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> AcquireAsync(Request request)
    {
        if (!TryName(request, out string name, out string cookie)) return Errno.EINVAL;
        var op = Rent(request);
        int status;
        while (true)
        {
            status = await BlockingCallAsync(op, session => TryAcquire(session, name, cookie));
            if (status != Errno.EBUSY || (request.Flags & RequestFlags.NoSync) != 0) break;
            // Nobody is left to own it: whoever takes over from a dead issuer waits until this request has ended.
            if (_stopping) status = Errno.ESHUTDOWN;
            else if (!PortTable.IsAlive(Context.Segment, request.Issuer)) status = Errno.ECANCELED;
            else if (request.Deadline != 0 && (ulong)Context.Reactor.Clock.BoottimeNanoseconds > request.Deadline) status = Errno.ETIMEDOUT;
            if (status != Errno.EBUSY) break;
            await Context.Reactor.Delay(LockPoll);
        }

        Return(op);
        return status;
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> ReleaseAsync(Request request)
    {
        if (!TryName(request, out string name, out string cookie)) return Errno.EINVAL;
        bool force = (request.Flags & RequestFlags.Force) != 0;
        var op = Rent(request);
        int status = await BlockingCallAsync(op, session => TryRelease(session, name, cookie, force));
        // A former execution has released it.
        if (status == Errno.ENOENT && op.MayHaveRun) status = 0;
        Return(op);
        return status;
    }

    /// <summary>Runs a blocking call on a helper thread with the instance in use, and again with the next one if that is fenced.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> BlockingCallAsync(RadosOp op, Func<RadosSession, int> call, RadosCall kind = RadosCall.Lock)
    {
        while (await _keeper.ReadyAsync() is { } session)
        {
            if (session.IsFenced) continue;
            session.BlockingCalls++;
            int errno = await Context.Reactor.RunBlocking(() => call(session));
            session.BlockingCalls--;
            if (errno == RadosErrno.EBLOCKLISTED)
            {
                _keeper.Fenced(session);
                op.Repeats++;
                continue;
            }

            op.Call = kind;
            return errno is 0 or Errno.ENOENT or Errno.EBUSY or Errno.EACCES or Errno.EOVERFLOW ? errno : Failed(op, errno);
        }

        return Errno.ESHUTDOWN;
    }

    private static int TryAcquire(RadosSession session, string name, string cookie)
    {
        int errno = session.Locks.LockExclusive(name, LockName, cookie, "archipelago radosd " + session.Address, renew: LockRenewal.May);
        if (errno != RadosErrno.EBUSY) return errno;
        // To RADOS the owner is client and cookie: a former instance's hold for the same cookie is ours.
        errno = session.Locks.ListLockers(name, LockName, out var lockers);
        return errno != 0 && errno != RadosErrno.ENOENT ? errno : lockers.Any(holder => holder.Cookie == cookie) ? 0 : RadosErrno.EBUSY;
    }

    private static int TryRelease(RadosSession session, string name, string cookie, bool force)
    {
        int errno = session.Locks.ListLockers(name, LockName, out var lockers);
        if (errno != 0 || lockers.Count == 0) return errno != 0 ? errno : RadosErrno.ENOENT;
        var holder = lockers[0];
        if (holder.Cookie != cookie && !force) return Errno.EACCES;
        return holder.Client == session.Client
            ? session.Locks.Unlock(name, LockName, holder.Cookie)
            : session.Locks.BreakLock(name, LockName, holder);
    }

    /// <summary>Lock name and cookie as RADOS takes them; false for an empty name.</summary>
    private static bool TryName(in Request request, out string name, out string cookie)
    {
        ReadOnlySpan<byte> owner = request.Result;
        cookie = "x" + Convert.ToHexString(owner[..(owner.LastIndexOfAnyExcept((byte)0) + 1)]);
        name = ObjectName.OfLock(request.Target);
        return name.Length > 0;
    }
}
