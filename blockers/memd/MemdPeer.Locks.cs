using System.Runtime.CompilerServices;
using Archipelago.Locks;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Memd;

/// <summary>ACQUIRE and RELEASE, and the gate before changes: the records of locks are objects like any other, stable when answered.</summary>
public sealed partial class MemdPeer
{
    private static int s_instances;
    private LockService _locks = null!;

    /// <summary>A change whose flow has not been verified yet, or whose lock is lost.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> ExecuteVerified(Request request)
    {
        int status = await _locks.VerifyAsync(request.Flow);
        return status != 0 ? status : await Execute(request);
    }

    private unsafe int SwapRecord(byte[] name, byte[] expected, byte[] fresh)
    {
        var hash = Hash128.Of(name);
        var target = _store.Find(hash, name);
        byte[] current = new byte[expected.Length];
        CopyOut(target, 0, current);
        if (!current.AsSpan().SequenceEqual(expected)) return XsegErrno.EILSEQ;
        if (_options.Capacity != 0 && !HasRoom(target, 0, 1)) return XsegErrno.ENOSPC;
        target ??= _store.FindOrCreate(hash, name, 0);
        CopyIn(target, 0, fresh, 0);
        _store.Flush(target);
        return 0;
    }

    /// <summary>
    /// Everything is done at once. Of several instances on one store, as in a simulation of several hosts, a fenced one verifies its flows anew, as a radosd that was fenced does.
    /// </summary>
    private sealed class RecordsInMemory(MemdPeer memd) : LockStore
    {
        public override string? Address { get; } = $"memd {Interlocked.Increment(ref s_instances)}";
        public override bool LeaseBoundsWrites => false;

        public override ValueTask<int> ReadAsync(byte[] name, byte[] into)
        {
            CopyOut(memd._store.Find(Hash128.Of(name), name), 0, into);
            return new ValueTask<int>(0);
        }

        public override ValueTask<int> CompareAndSwapAsync(byte[] name, byte[] expected, byte[] fresh) => new(memd.SwapRecord(name, expected, fresh));

        public override ValueTask<int> FenceAsync(string address)
        {
            if (memd._instances.TryGetValue(address, out var fenced)) fenced.Flows.ForgetAll();
            return new(0);
        }
    }
}
