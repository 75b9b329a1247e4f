using Archipelago.Runtime;
using Microsoft.Extensions.Logging;

namespace Archipelago.Locks;

/// <summary>What a change waits for whose flow has not been verified.</summary>
public sealed partial class LockProtocol
{
    /// <summary>
    /// Makes sure that the flow's lock still has the flow's epoch and names this instance. 0: the flow passes; ESTALE: the lock is lost; or what the
    /// store answered: nothing is known then.
    /// </summary>
    public async ValueTask<int> VerifyAsync(uint flow)
    {
        if (!flows.TryGet(flow, out ulong id, out ulong epoch)) return Errno.EBADMSG;
        if (epoch == 0) return 0;
        if (id == 0) return Errno.ESTALE;
        byte[] name = LockName.Of(id);
        for (int race = 0; race < MostRaces; race++)
        {
            if (flows.IsStale(flow, id, epoch)) return Errno.ESTALE;
            if (!await store.ReadyAsync() || store.Address is not { } own) return Errno.ESHUTDOWN;
            long before = clock.BoottimeNanoseconds;
            var (status, found) = await ReadAsync(name, force: false);
            if (found == null) return status;
            var record = found.Record;
            if (!record.Held || record.Epoch != epoch)
            {
                log.LogWarning("lock {Lock}: flow {Flow} has epoch {Epoch}, the store {Now}{Free}: its changes are refused from now on", LockRecord.Printable(name, 256), flow, epoch, record.Epoch, record.Held ? "" : ", free");
                flows.Revoke(id, record.Epoch > epoch ? record.Epoch - 1 : epoch);
                return Errno.ESTALE;
            }

            if (record.Fence.Length > 0)
            {
                // Who asks is a change under way itself: it cannot be waited for here.
                status = await ResolveAsync(name, found, drains: false);
                if (status is 0 or Errno.EILSEQ) continue;
                return status;
            }

            bool renews = store.LeaseBoundsWrites && record.Lease != 0;
            if (record.Address != own || renews)
            {
                var renewed = record with { Address = own };
                if (renews) renewed = renewed with { Renewals = record.Renewals + 1, Renewed = UnixNow };
                status = await SwapAsync(name, found, renewed);
                if (status == Errno.EILSEQ) continue;
                if (status != 0) return status;
            }

            // Fenced, or the lock given back, while this looked.
            if (store.Address != own || flows.IsStale(flow, id, epoch)) continue;
            flows.Verified(flow, id, epoch, Until(before, record.Lease));
            return 0;
        }

        return TooManyRaces(name);
    }

    /// <summary>How long what was seen at a time may be believed.</summary>
    private long Until(long seen, ulong lease)
    {
        long most = store.VerifiedFor == FlowLocks.Forever ? FlowLocks.Forever : seen + store.VerifiedFor;
        return store.LeaseBoundsWrites && lease is not 0 and < long.MaxValue / 2 ? Math.Min(most, seen + (long)lease) : most;
    }
}
