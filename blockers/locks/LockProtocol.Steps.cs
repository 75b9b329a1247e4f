using System.Buffers.Binary;
using Archipelago.Runtime;
using Microsoft.Extensions.Logging;

namespace Archipelago.Locks;

/// <summary>The steps that all attempts are made of.</summary>
public sealed partial class LockProtocol
{
    /// <summary>A record as it lies in the store, which is what a swap expects, and what it means.</summary>
    private sealed record Found(byte[] Bytes, LockRecord Record, bool IsDamaged = false);

    /// <summary>Reads the record; with <paramref name="force"/> a damaged one is taken for a free one of an epoch that nobody has had.</summary>
    private async ValueTask<(int Status, Found? Found)> ReadAsync(byte[] name, bool force)
    {
        byte[] bytes = new byte[LockRecord.Size];
        int status = await store.ReadAsync(name, bytes);
        if (status != 0) return (status, null);
        var record = LockRecord.Parse(bytes, out string wrong);
        if (record != null) return (0, new Found(bytes, record));
        if (!force)
        {
            log.LogError("lock {Lock}: the first {Size} bytes of the object are no lock record: {Wrong}. Nobody can take the lock. See to it that no host uses the volume, then release the lock with force, which replaces the record",
                LockRecord.Printable(name, 256), LockRecord.Size, wrong);
            return (Errno.EIO, null);
        }

        log.LogCritical("lock {Lock}: a damaged record ({Wrong}) is replaced, as was demanded; whoever held the lock is not fenced", LockRecord.Printable(name, 256), wrong);
        // Above every number that was counted, and above what a replacement before this one has chosen.
        ulong old = BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(16));
        ulong epoch = Math.Max((ulong)UnixNow, old < 1ul << 62 ? old + 1 : 0);
        return (0, new Found(bytes, LockRecord.Never with { Epoch = epoch }, IsDamaged: true));
    }

    /// <summary>0; EILSEQ: somebody was faster; or an errno. Where only the answer was lost, the record itself says that it was done.</summary>
    private async ValueTask<int> SwapAsync(byte[] name, Found found, LockRecord next)
    {
        byte[] fresh;
        try
        {
            fresh = next.ToBytes();
        }
        catch (ErrnoException e)
        {
            log.LogError("lock {Lock}: the record cannot be written: {Error}", LockRecord.Printable(name, 256), e.Message);
            return Errno.EIO;
        }

        int status = await store.CompareAndSwapAsync(name, found.Bytes, fresh);
        if (status != Errno.EILSEQ) return status;
        byte[] now = new byte[LockRecord.Size];
        int read = await store.ReadAsync(name, now);
        return read != 0 ? read : now.AsSpan().SequenceEqual(fresh) ? 0 : Errno.EILSEQ;
    }

    /// <summary>Fences the former holder that the record names, then takes its name out of the record.</summary>
    private async ValueTask<int> ResolveAsync(byte[] name, Found found, bool drains = true)
    {
        var record = found.Record;
        if (record.Fence == store.Address) await StopWritesAsync(LockName.IdOf(name), record.Epoch - 1, drains);
        else
        {
            int status = await store.FenceAsync(record.Fence);
            if (status != 0)
            {
                log.LogError("lock {Lock}: its former holder {Address} cannot be fenced: {Error}. The lock is not given to anybody until that succeeds", LockRecord.Printable(name, 256), record.Fence, Errno.Describe(status));
                return status;
            }
        }

        return await SwapAsync(name, found, record with { Fence = "" });
    }

    /// <summary>
    /// No change under the lock with this epoch, or an older one, is sent by this instance any more, and none is under way: what fencing is for
    /// others.
    /// </summary>
    private async ValueTask StopWritesAsync(ulong id, ulong epoch, bool drains = true)
    {
        flows.Revoke(id, epoch);
        if (!drains) return;
        foreach (uint flow in flows.Of(id)) await store.DrainAsync(flow);
    }

    private int TooManyRaces(byte[] name)
    {
        log.LogError("lock {Lock}: {Count} swaps in a row failed though the record was just read; the store does not swap", LockRecord.Printable(name, 256), MostRaces);
        return Errno.EIO;
    }
}
