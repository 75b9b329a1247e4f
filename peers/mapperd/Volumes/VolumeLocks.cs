using System.Buffers.Binary;
using System.Text;
using Archipelago.Locks;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Control;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>
/// The exclusive lock of a volume, in the store, with a lease. Its epoch goes into the flow table: from then on the blocker refuses what this host sends for the
/// volume once another one has the lock. One reactor.
/// </summary>
internal sealed class VolumeLocks(PeerContext context, ObjectIo meta, ObjectIo data, MapperdOptions options)
{
    private readonly byte[] _cookie = CookieOf(context.Segment);

    internal static byte[] ObjectOf(ulong id) => Encoding.ASCII.GetBytes($"l.{id:x16}");

    /// <summary>
    /// Takes the lock of a volume for this segment, or keeps it; the epoch. If another host had it since this one did, what is cached of the volume here is dropped.
    /// </summary>
    /// <exception cref="ErrnoException">EBUSY: another host has it.</exception>
    internal async ValueTask<ulong> AcquireAsync(Volume volume, ulong id)
    {
        volume.Flow = FlowOf(volume);
        var (status, epoch) = await meta.RunAsync(
            XsegOp.Acquire, volume.Flow, ObjectOf(id), 0, (ulong)options.Lease.Ticks * 100, RequestFlags.NoSync, Encoding.UTF8.GetBytes(options.Owner), Cookie());
        if (status == Errno.EBUSY) throw new ErrnoException(Errno.EBUSY, $"volume {volume.Name} is open on another host; close it there, or, if that host is dead for sure, `archipelago volume unlock --force {volume.Name}`");
        if (status != 0) throw new ErrnoException(status, $"volume {volume.Name}: its lock, {Encoding.ASCII.GetString(ObjectOf(id))}, cannot be had: {Errno.Describe(status)}");
        volume.Renewed = context.Reactor.Now;
        await AdmitAsync(volume, id, epoch);
        return epoch;
    }

    /// <summary>Everything of the volume is stable, and the lock is free for others, when this is done.</summary>
    internal async ValueTask ReleaseAsync(Volume volume, ulong id)
    {
        int status = await data.FlushAsync(volume.Flow);
        if (status != 0) throw new ErrnoException(status, $"volume {volume.Name}: not closed, the flush failed: {Errno.Describe(status)}");
        Tell(volume.Flow, 0, Epoch(volume.Flow));
        (status, _) = await meta.RunAsync(XsegOp.Release, volume.Flow, ObjectOf(id), result: Cookie());
        // Somebody has broken it: then it is no longer ours either.
        if (status is not (0 or Errno.ENOENT or Errno.EACCES)) throw new ErrnoException(status, $"volume {volume.Name}: its lock cannot be given back: {Errno.Describe(status)}");
    }

    /// <summary>
    /// Takes the lock for a change of metadata alone, which compare-and-swap guards: no flow is bound to it. Give it back with <see cref="LetGoAsync"/>.
    /// </summary>
    /// <exception cref="ErrnoException">EBUSY: another host has it.</exception>
    internal async ValueTask HoldAsync(ulong id)
    {
        var (status, _) = await meta.RunAsync(
            XsegOp.Acquire, meta.Flow, ObjectOf(id), 0, (ulong)options.Lease.Ticks * 100, RequestFlags.NoSync, Encoding.UTF8.GetBytes(options.Owner), Cookie());
        if (status != 0) throw new ErrnoException(status, $"lock {Encoding.ASCII.GetString(ObjectOf(id))} cannot be had: {Errno.Describe(status)}");
    }

    /// <summary>Ends <see cref="HoldAsync"/>; if that fails the lease runs out.</summary>
    internal async ValueTask LetGoAsync(ulong id) => await meta.RunAsync(XsegOp.Release, meta.Flow, ObjectOf(id), result: Cookie());

    /// <summary>Takes the lock from whoever has it; that one is fenced first.</summary>
    internal async ValueTask BreakAsync(string name, ulong id)
    {
        var (status, _) = await meta.RunAsync(XsegOp.Release, meta.Flow, ObjectOf(id), flags: RequestFlags.Force, result: Cookie());
        if (status is not (0 or Errno.ENOENT)) throw new ErrnoException(status, $"volume {name}: its lock cannot be broken: {Errno.Describe(status)}");
    }

    /// <summary>What the lock's record says.</summary>
    internal async ValueTask<LockInfo> ReadAsync(ulong id)
    {
        var bytes = new byte[LockRecord.Size];
        var (status, _) = await meta.ReadAsync(ObjectOf(id), 0, bytes);
        if (status is not (0 or Errno.ENOENT)) return new LockInfo("unknown", Fault: $"object {Encoding.ASCII.GetString(ObjectOf(id))} cannot be read: {Errno.Describe(status)}");
        if (LockRecord.Parse(bytes, out string wrong) is not { } record) return new LockInfo("unknown", Fault: $"object {Encoding.ASCII.GetString(ObjectOf(id))} is no record of a lock: {wrong}");
        if (!record.Held) return new LockInfo("free", Epoch: record.Epoch == 0 ? null : record.Epoch);
        return new LockInfo(
            record.IsOf(_cookie) ? "busy" : "elsewhere", record.Owner, record.Address, TimeOf(record.Since), TimeOf(record.Renewed), record.Lease == 0 ? null : record.Lease / 1e9, record.Epoch);
    }

    /// <summary>Says that this host lives; 0, EBUSY if somebody else has the lock now, or the store's errno.</summary>
    internal async ValueTask<int> RenewAsync(Volume volume)
    {
        long now = context.Reactor.Now;
        var (status, epoch) = await meta.RunAsync(
            XsegOp.Acquire, volume.Flow, ObjectOf(volume.Root!.Id), 0, (ulong)options.Lease.Ticks * 100, RequestFlags.NoSync, Encoding.UTF8.GetBytes(options.Owner), Cookie());
        if (status == 0 && epoch != 0 && epoch != Epoch(volume.Flow)) status = Errno.EBUSY;
        if (status == 0) volume.Renewed = now;
        return status;
    }

    /// <summary>True if this segment had the volume open for writing when mapperd, or its predecessor, was last heard of.</summary>
    internal unsafe bool WasOpen(uint flow, ulong id) => context.Segment.FlowAt(flow) is var entry && entry != null && entry->LockId == id && entry->LockEpoch != 0;

    private uint FlowOf(Volume volume)
    {
        try
        {
            return FlowTable.FindOrAdd(context.Segment, volume.NameBytes);
        }
        catch (XsegException full)
        {
            throw new ErrnoException(full.Errno, $"volume {volume.Name}: {full.Message}", full);
        }
    }

    /// <summary>The volume's flow, for whoever waits to take it over: nothing is cached under it until then.</summary>
    /// <exception cref="ErrnoException">EBUSY: this host has the volume itself.</exception>
    internal async ValueTask<uint> StandByAsync(Volume volume)
    {
        uint flow = FlowOf(volume);
        if (IdOf(flow) != 0) throw new ErrnoException(Errno.EBUSY, $"volume {volume.Name} is open for writing on this host itself");
        await DropAsync(volume.Name, flow);
        SetUncached(flow, 1);
        return flow;
    }

    /// <summary>This host has lost the volume: what it has not written can never be written.</summary>
    internal async ValueTask LoseAsync(Volume volume)
    {
        // Without a lock's id the epoch is one that no lock has: whatever comes is refused.
        Tell(volume.Flow, 0, Epoch(volume.Flow));
        await DropAsync(volume.Name, volume.Flow);
    }

    private async ValueTask AdmitAsync(Volume volume, ulong id, ulong epoch)
    {
        ulong last = Epoch(volume.Flow);
        bool stoodBy = IsUncached(volume.Flow);
        if (stoodBy || (last != 0 && last != epoch && last != epoch - 1))
        {
            if (!stoodBy) context.Log.LogInformation("volume {Volume}: another host had it since; what is cached of it here is dropped", volume.Name);
            await DropAsync(volume.Name, volume.Flow);
        }

        Tell(volume.Flow, id, epoch);
        SetUncached(volume.Flow, 0);
    }

    private async ValueTask DropAsync(string name, uint flow)
    {
        var (status, _) = await data.RunAsync(XsegOp.Invalidate, flow, default);
        if (status is not (0 or Errno.ENOTSUP)) throw new ErrnoException(status, $"volume {name}: what is cached of it cannot be dropped: {Errno.Describe(status)}");
    }

    private unsafe bool IsUncached(uint flow) => context.Segment.FlowAt(flow)->Uncached != 0;

    private unsafe void SetUncached(uint flow, byte value) => Shared.Store(ref context.Segment.FlowAt(flow)->Uncached, value);

    private unsafe ulong IdOf(uint flow) => context.Segment.FlowAt(flow)->LockId;

    private unsafe ulong Epoch(uint flow) => context.Segment.FlowAt(flow)->LockEpoch;

    private unsafe void Tell(uint flow, ulong id, ulong epoch)
    {
        var entry = context.Segment.FlowAt(flow);
        Shared.Store(ref entry->LockId, id);
        Shared.Store(ref entry->LockEpoch, epoch);
    }

    private byte[] Cookie() => (byte[])_cookie.Clone();

    private static DateTimeOffset? TimeOf(long nanoseconds) => nanoseconds <= 0 ? null : DateTimeOffset.UnixEpoch.AddTicks(nanoseconds / 100);

    /// <summary>One owner per segment: a restarted mapperd has what its predecessor had.</summary>
    private static byte[] CookieOf(Segment segment)
    {
        var cookie = new byte[64];
        BinaryPrimitives.WriteUInt128LittleEndian(cookie, segment.CreationId);
        return cookie;
    }
}
