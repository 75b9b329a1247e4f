using Archipelago.Locks;
using Archipelago.Radosd.Librados;
using Archipelago.Runtime;
using Microsoft.Extensions.Logging;

namespace Archipelago.Radosd;

/// <summary>
/// The records of locks, objects of 512 bytes that are changed by compare-and-swap, and the fence: who may write under a lock is a RADOS
/// client instance, and whoever breaks the lock puts that one on the blocklist.
/// </summary>
public sealed partial class RadosdPeer
{
    private LockService _locks = null!;

    private async ValueTask<int> ReadRecordAsync(byte[] name, byte[] into)
    {
        var op = RentRecord(name);
        op.Length = (ulong)into.Length;
        int status = await CallAsync(op, RadosCall.Fetch, into.Length);
        Array.Clear(into);
        if (status == 0) CopyBuffer(op, into);
        ReturnBuffer(op);
        Return(op);
        return status == Errno.ENOENT ? 0 : status;
    }

    private async ValueTask<int> SwapRecordAsync(byte[] name, byte[] expected, byte[] fresh)
    {
        var op = RentRecord(name);
        (op.Expected, op.Fresh) = (expected, fresh);
        int status = await CallAsync(op, RadosCall.SwapRecord, expected.Length + fresh.Length);
        // A comparison creates what is missing, or finds it different.
        if (status is Errno.ENOENT or Errno.EEXIST) status = Failed(op, Errno.EIO);
        Return(op);
        return status;
    }

    private async ValueTask<int> FenceAsync(string address)
    {
        var op = Take();
        int status = await BlockingCallAsync(op, session => Blocklist(session, address), RadosCall.Fence);
        Return(op);
        return status;
    }

    private async ValueTask DrainAsync(uint flow)
    {
        var op = Take();
        op.Flow = flow;
        if (!_barrier.TryPass(op)) await op.Turn.Task;
        Return(op);
    }

    /// <summary>Among the writes, which nothing holds back: writes may wait for what it brings.</summary>
    private RadosOp RentRecord(byte[] name)
    {
        var op = Take();
        (op.Record, op.Writes) = (name, true);
        return op;
    }

    private int Blocklist(RadosSession session, string addresses)
    {
        foreach (string address in addresses.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            try
            {
                session.Cluster.Blocklist(address, _options.FenceTime);
                Context.Log.LogWarning("RADOS client instance {Address} fenced: its lock was broken, no write of it takes effect any more", address);
            }
            catch (RadosException e) when (e.Errno != RadosErrno.EBLOCKLISTED && _options.AllowUnfenced)
            {
                Context.Log.LogWarning("{Error}; allow-unfenced: going on without a fence", e.Message);
            }
            catch (RadosException e)
            {
                Context.Log.LogError("{Error}", e.Message);
                return e.Errno == 0 ? RadosErrno.EIO : e.Errno;
            }
        }

        return 0;
    }

    private static unsafe void CopyBuffer(RadosOp from, byte[] into) => new ReadOnlySpan<byte>(from.Buffer, Math.Min(from.Result.Length, into.Length)).CopyTo(into);

    private sealed class RecordsAtRados(RadosdPeer radosd) : LockStore
    {
        public override string? Address => radosd._keeper.Current?.Address;
        public override bool LeaseBoundsWrites => false;
        // A host that was suspended for longer than its entry stays on the blocklist would find itself welcome again.
        public override long VerifiedFor { get; } = radosd._options.FenceTime.Ticks * 100 / 2;

        public override async ValueTask<bool> ReadyAsync() => await radosd._keeper.ReadyAsync() != null;

        public override ValueTask<int> ReadAsync(byte[] name, byte[] into) => radosd.ReadRecordAsync(name, into);

        public override ValueTask<int> CompareAndSwapAsync(byte[] name, byte[] expected, byte[] fresh) => radosd.SwapRecordAsync(name, expected, fresh);

        public override ValueTask<int> FenceAsync(string address) => radosd.FenceAsync(address);

        public override ValueTask DrainAsync(uint flow) => radosd.DrainAsync(flow);
    }
}
