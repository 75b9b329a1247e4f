using Archipelago.Runtime;
using Archipelago.Runtime.Hosting;
using Microsoft.Extensions.Logging;

namespace Archipelago.Locks;

/// <summary>
/// One attempt to take, give back or verify a lock: a step reads the record, decides, and swaps it; where somebody else was faster it begins
/// again. Each state in between is whole: whoever finds it goes on from there. One reactor.
/// </summary>
public sealed partial class LockProtocol(LockStore store, FlowLocks flows, IClock clock, ILogger log)
{
    /// <summary>A swap fails only because somebody's succeeded: so many in a row are no race any more.</summary>
    private const int MostRaces = 64;

    private readonly LockObservations _seen = new();

    /// <summary>
    /// Takes a lock that is free, renews the asker's own, breaks one whose lease has run out. 0 and the epoch; EBUSY: another holds it; EIO: the
    /// record is damaged; ESHUTDOWN: the blocker stops; or what store or fence answered.
    /// </summary>
    public async ValueTask<(int Status, ulong Epoch)> AcquireAsync(LockAsk ask)
    {
        for (int race = 0; race < MostRaces; race++)
        {
            if (!await store.ReadyAsync() || store.Address is not { } own) return (Errno.ESHUTDOWN, 0);
            // The lease counts from before the swap: a watcher sees it at the earliest then.
            long before = clock.BoottimeNanoseconds;
            var (status, found) = await ReadAsync(ask.Name, ask.Force);
            if (found == null) return (status, 0);
            var record = found.Record;
            bool ours = record.Held && record.IsOf(ask.Cookie);
            bool expired = record.Held && !ours && _seen.IsExpired(ask.Name, record, before, clock.BoottimeNanoseconds);
            if (record.Held && !ours && !expired) return (Errno.EBUSY, 0);
            if (record.Fence.Length > 0)
            {
                // Its breaker died, or is at it: not before this one is fenced, and the field is free for the next.
                status = await ResolveAsync(ask.Name, found);
                if (status is 0 or Errno.EILSEQ) continue;
                return (status, 0);
            }

            var taken = ours ? Renewal(record, ask, own) : Taking(record, ask, own);
            status = await SwapAsync(ask.Name, found, taken);
            if (status == Errno.EILSEQ) continue;
            if (status != 0) return (status, 0);
            if (taken.Fence.Length > 0)
            {
                log.LogWarning("lock {Lock}: the lease of \"{Owner}\" ({Address}) has run out, \"{New}\" takes it with epoch {Epoch}", ask.Shown, record.Owner, record.Address, taken.Owner, taken.Epoch);
                status = await ResolveAsync(ask.Name, new Found(taken.ToBytes(), taken));
                if (status == Errno.EILSEQ) continue;
                if (status != 0) return (status, 0);
            }

            // This instance was fenced meanwhile: the record must name the one that it is now.
            if (store.Address != own) continue;
            _seen.Forget(ask.Name);
            flows.Verified(ask.Flow, LockName.IdOf(ask.Name), taken.Epoch, Until(before, taken.Lease));
            return (0, taken.Epoch);
        }

        return (TooManyRaces(ask.Name), 0);
    }

    /// <summary>
    /// Gives the lock back, or breaks it (<see cref="LockAsk.Force"/>). 0; ENOENT: nobody holds it (0 if the request is a replay); EACCES: another
    /// does; or what store or fence answered.
    /// </summary>
    public async ValueTask<int> ReleaseAsync(LockAsk ask)
    {
        ulong id = LockName.IdOf(ask.Name);
        for (int race = 0; race < MostRaces; race++)
        {
            if (!await store.ReadyAsync()) return Errno.ESHUTDOWN;
            var (status, found) = await ReadAsync(ask.Name, ask.Force);
            if (found == null) return status;
            var record = found.Record;
            bool ours = record.IsOf(ask.Cookie);
            if (record.Held && !ours && !ask.Force) return Errno.EACCES;
            if (record.Fence.Length > 0)
            {
                status = await ResolveAsync(ask.Name, found);
                if (status is 0 or Errno.EILSEQ) continue;
                return status;
            }

            if (!record.Held && !found.IsDamaged) return ask.Replayed ? 0 : Errno.ENOENT;
            bool breaks = ask.Force || found.IsDamaged;
            if (!breaks) await StopWritesAsync(id, record.Epoch);
            var free = record with { Held = false, Address = "", Fence = breaks ? record.Address : "", Epoch = breaks ? record.Epoch + 1 : record.Epoch, Renewed = UnixNow };
            status = await SwapAsync(ask.Name, found, free);
            if (status != 0 && !breaks) flows.Forget(id);
            if (status == Errno.EILSEQ) continue;
            if (status != 0) return status;
            if (!breaks)
            {
                flows.Revoke(id, record.Epoch);
                return 0;
            }

            log.LogWarning("lock {Lock} of \"{Owner}\" ({Address}) was broken by a request", ask.Shown, record.Owner, record.Address);
            if (free.Fence.Length == 0) return 0;
            status = await ResolveAsync(ask.Name, new Found(free.ToBytes(), free));
            // Somebody goes on from here, and fences first.
            return status == Errno.EILSEQ ? 0 : status;
        }

        return TooManyRaces(ask.Name);
    }

    private long UnixNow => (clock.UtcNow - DateTimeOffset.UnixEpoch).Ticks * 100;

    private LockRecord Taking(LockRecord record, LockAsk ask, string own) => new()
    {
        Held = true,
        Epoch = record.Epoch + 1,
        Lease = ask.Lease,
        Since = UnixNow,
        Renewed = UnixNow,
        Cookie = ask.Cookie,
        Owner = ask.Owner,
        Address = own,
        Fence = record.Held ? record.Address : "",
    };

    private LockRecord Renewal(LockRecord record, LockAsk ask, string own) => record with
    {
        Renewals = record.Renewals + 1,
        Lease = ask.Lease,
        Renewed = UnixNow,
        Owner = ask.Owner.Length > 0 ? ask.Owner : record.Owner,
        Address = own,
    };
}
