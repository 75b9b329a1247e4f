using System.Runtime.CompilerServices;
using Archipelago.Radosd.Librados;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Radosd;

public sealed partial class RadosdPeer
{
    /// <summary>Runs a blocking call on a helper thread with the instance in use, and again with the next one if that is fenced.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> BlockingCallAsync(RadosOp op, Func<RadosSession, int> call, RadosCall kind)
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
}
