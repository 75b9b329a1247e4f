using System.Buffers.Binary;
using System.Text;
using Archipelago.Locks;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Control;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>
/// The exclusive lock of a volume, in the store, with a lease. Its epoch goes into the flow table: from then on the blocker refuses what this host sends for the
/// volume once another one has the lock. Several here may need one lock at a time: it goes back to the store when the last of them does not. One reactor.
/// </summary>
internal sealed class VolumeLocks(PeerContext context, ObjectIo meta, ObjectIo data, VolumeFlows flows, MapperdOptions options)
{
    private readonly byte[] _cookie = CookieOf(context.Segment);
    private readonly Dictionary<ulong, Held> _held = [];

    /// <summary>A lock that this host has, or is about to have, or to give back: one step at a time.</summary>
    private sealed class Held(IReactor reactor)
    {
        internal AsyncGate Gate { get; } = new(reactor);
        internal bool ByVolume { get; set; }
        internal int Holds { get; set; }
        internal int Users { get; set; }
    }

    internal static byte[] ObjectOf(ulong id) => Encoding.ASCII.GetBytes($"l.{id:x16}");

    /// <summary>
    /// Takes the lock of a volume for this segment, or keeps it; the epoch. If another host had it since this one did, what is cached of the volume here is dropped.
    /// </summary>
    /// <exception cref="ErrnoException">EBUSY: another host has it. ESTALE: it is open here, and another host had it since: who has it open must open it again.</exception>
    internal Task<ulong> AcquireAsync(Volume volume, ulong id) => OneAtATimeAsync(id, async held =>
    {
        await flows.TakeAsync(volume);
        var (status, epoch) = await TakeAsync(volume.Flow, id);
        if (status == Errno.EBUSY) throw new ErrnoException(Errno.EBUSY, $"volume {volume.Name} is open on another host ({(await ReadAsync(id)).Owner ?? "unknown"}); close it there, or, if that host is dead for sure, `archipelago volume unlock --force {volume.Name}`");
        if (status != 0) throw new ErrnoException(status, $"volume {volume.Name}: its lock, {Encoding.ASCII.GetString(ObjectOf(id))}, cannot be had: {Errno.Describe(status)}");
        held.ByVolume = true;
        try
        {
            await AdmitAsync(volume, id, epoch);
        }
        catch (ErrnoException)
        {
            held.ByVolume = false;
            if (held.Holds == 0) await GiveBackAsync(volume.Flow, id);
            throw;
        }

        return epoch;
    });

    /// <summary>Everything of the volume is stable, and the lock is free for others, when this is done.</summary>
    internal async Task ReleaseAsync(Volume volume, ulong id)
    {
        // Not under the lock's gate: it may take long, and the lease is renewed meanwhile.
        await FlushAsync(volume);
        await ReleaseStableAsync(volume, id);
    }

    /// <summary>Gives back what a predecessor may have left; nothing happens if the lock is free, another's, or needed here.</summary>
    internal Task ReleaseLeftAsync(ulong id) => OneAtATimeAsync(id, async held => held is { Holds: 0, ByVolume: false } ? await GiveBackAsync(meta.Flow, id) : 0);

    /// <summary>Gives back the locks that a predecessor had for changes of closed volumes, which ended with it.</summary>
    internal async ValueTask LetGoOfLeftAsync(Func<uint, bool> isUsed)
    {
        for (uint flow = 1; flow < context.Segment.FlowCount; flow++)
        {
            var (left, id) = (flow, IdOf(flow));
            if (id == 0 || OpenBy(flow) != 0 || isUsed(flow)) continue;
            await OneAtATimeAsync(id, async held =>
            {
                if (held is not { Holds: 0, ByVolume: false } || isUsed(left) || IdOf(left) != id || OpenBy(left) != 0) return false;
                int status = await GiveBackAsync(meta.Flow, id);
                if (status is not (0 or Errno.ENOENT or Errno.EACCES) || isUsed(left) || IdOf(left) != id || OpenBy(left) != 0) return false;
                Tell(left, 0, Epoch(left));
                return true;
            });
        }
    }

    /// <summary>Its user has closed it, and all that he was answered is stable; others here need the lock yet.</summary>
    internal async ValueTask EndOpenAsync(Volume volume)
    {
        await FlushAsync(volume);
        Mark(volume.Flow, 0);
    }

    private async ValueTask FlushAsync(Volume volume)
    {
        int status = await data.FlushAsync(volume.Flow);
        if (status == 0) return;
        string advice = status == Errno.ENOSPC ? "; free some of the store first (delete snapshots, or other volumes, or this one, with what could not be written)" : "";
        throw new ErrnoException(status, $"volume {volume.Name}: not closed, the flush failed: {Errno.Describe(status)}{advice}");
    }

    private Task<bool> ReleaseStableAsync(Volume volume, ulong id) => OneAtATimeAsync(id, async held =>
    {
        int status = 0;
        uint openBy = OpenBy(volume.Flow);
        // First this: cut off after it a replay finds the lock left; a mark that is left would make the volume open for whoever next takes the lock and dies.
        Mark(volume.Flow, 0);
        Tell(volume.Flow, 0, Epoch(volume.Flow));
        if (held.Holds == 0) status = await GiveBackAsync(volume.Flow, id);
        // Somebody has broken it: then it is no longer ours either.
        if (status is 0 or Errno.ENOENT or Errno.EACCES)
        {
            held.ByVolume = false;
            return true;
        }

        Tell(volume.Flow, id, Epoch(volume.Flow));
        Mark(volume.Flow, openBy);
        throw new ErrnoException(status, $"volume {volume.Name}: its lock cannot be given back: {Errno.Describe(status)}");
    });

    /// <summary>The volume does not need it any more; who deletes what is left of it holds it.</summary>
    internal void Leave(Volume volume, ulong id)
    {
        // That it was lost its user must be told by whoever comes next.
        if (!IsLost(volume.Flow)) Mark(volume.Flow, 0);
        if (_held.TryGetValue(id, out var held)) held.ByVolume = false;
    }

    /// <summary>
    /// Takes the lock for a change of metadata alone, which compare-and-swap guards: no flow is bound to it. Give it back with <see cref="LetGoAsync"/>.
    /// </summary>
    /// <exception cref="ErrnoException">EBUSY: another host has it.</exception>
    internal Task HoldAsync(ulong id) => OneAtATimeAsync(id, async held =>
    {
        var (status, _) = await TakeAsync(meta.Flow, id);
        if (status != 0) throw new ErrnoException(status, $"lock {Encoding.ASCII.GetString(ObjectOf(id))} cannot be had: {Errno.Describe(status)}");
        held.Holds++;
        return true;
    });

    /// <summary>Ends <see cref="HoldAsync"/>; if that fails the lease runs out.</summary>
    internal Task LetGoAsync(ulong id) => OneAtATimeAsync(id, async held =>
    {
        if (held.Holds > 0) held.Holds--;
        // A predecessor's user may have the volume open, and nobody has asked this process for it yet.
        if (held is { Holds: 0, ByVolume: false } && !IsMarkedOpen(id)) await GiveBackAsync(meta.Flow, id);
        return true;
    });

    /// <summary>
    /// Takes a lock that nobody else knows, for as long as its lease, and binds a flow to it: what comes of the flow later than that is refused. End it with <see cref="Forget"/>.
    /// </summary>
    internal async ValueTask BindAsync(ulong id, uint flow)
    {
        var (status, epoch) = await TakeAsync(flow, id);
        if (status != 0) throw new ErrnoException(status, $"lock {Encoding.ASCII.GetString(ObjectOf(id))} cannot be had: {Errno.Describe(status)}");
        Tell(flow, id, epoch);
    }

    /// <summary>Says for all that is held without a volume that this host lives: what is removed may take longer than a lease.</summary>
    internal async Task RenewHoldsAsync()
    {
        foreach (ulong id in _held.Where(held => held.Value is { Holds: > 0, ByVolume: false }).Select(held => held.Key).ToArray())
        {
            int status = await OneAtATimeAsync(id, async held => held is { Holds: > 0, ByVolume: false } ? (await TakeAsync(meta.Flow, id)).Status : 0);
            if (status != 0) context.Log.LogWarning("lock {Lock} cannot be renewed: {Error}", Encoding.ASCII.GetString(ObjectOf(id)), Errno.Describe(status));
        }
    }

    /// <summary>Ends <see cref="HoldAsync"/> of a lock that does not exist any more, with its volume.</summary>
    internal void Forget(ulong id)
    {
        _held.Remove(id);
        // No lock has this epoch any more: what may still come of the flow is refused.
        for (uint flow = 1; flow < context.Segment.FlowCount; flow++)
        {
            if (IdOf(flow) != id) continue;
            if (!IsLost(flow)) Mark(flow, 0);
            Tell(flow, 0, Epoch(flow));
        }
    }

    /// <summary>
    /// Drops what is cached of a volume that is deleted, also what is not stable: on a store that is full that would fail for ever. The flow may belong to a new volume of
    /// the name already; that one does this itself, when it takes its lock.
    /// </summary>
    internal async ValueTask DropDeletedAsync(string name, ulong id)
    {
        uint flow = FlowTable.Find(context.Segment, Encoding.ASCII.GetBytes(name));
        if (flow == 0 || VolumeOf(flow) != id) return;
        await DropAsync(name, flow);
        if (VolumeOf(flow) == id) SetVolume(flow, 0);
    }

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
    internal Task<int> RenewAsync(Volume volume, ulong id) => OneAtATimeAsync(id, async held =>
    {
        if (!held.ByVolume) return 0;
        return await RenewAsync(volume.Flow, id, held);
    });

    /// <summary>As for a volume, of one that a predecessor's user has open and that nobody has asked this process for yet. EBUSY: it is lost, and dropped.</summary>
    internal Task<int> RenewAsync(string name, uint flow, ulong id) => OneAtATimeAsync(id, async held =>
    {
        if (held.ByVolume || !IsMarkedOpen(flow, id)) return 0;
        int status = await RenewAsync(flow, id, held);
        if (status == Errno.EBUSY) await LoseAsync(name, flow);
        return status;
    });

    private async ValueTask<int> RenewAsync(uint flow, ulong id, Held held)
    {
        var (status, epoch) = await TakeAsync(flow, id);
        if (status != 0 || epoch == 0 || epoch == Epoch(flow)) return status;
        // It was broken, and free: what was taken now is another lock, which whoever broke the old one is about to want.
        if (held.Holds == 0) await GiveBackAsync(flow, id);
        return Errno.EBUSY;
    }

    /// <summary>What is open for writing on this host, as far as anybody knows.</summary>
    internal List<(string Name, uint Flow, ulong Id)> AllMarkedOpen()
    {
        var all = new List<(string, uint, ulong)>();
        for (uint flow = 1; flow < context.Segment.FlowCount; flow++)
            if (IdOf(flow) is var id and not 0 && IsMarkedOpen(flow, id)) all.Add((Encoding.ASCII.GetString(FlowTable.NameOf(context.Segment, flow)), flow, id));
        return all;
    }

    /// <summary>True if this segment had the volume open for writing when mapperd, or its predecessor, was last heard of.</summary>
    internal unsafe bool IsMarkedOpen(uint flow, ulong id) =>
        flow != 0 && context.Segment.FlowAt(flow) is var entry && entry != null && entry->LockId == id && entry->LockEpoch != 0 && entry->OpenBy is not (0 or FlowEntry.Lost);

    private bool IsMarkedOpen(ulong id)
    {
        for (uint flow = 1; flow < context.Segment.FlowCount; flow++)
            if (IsMarkedOpen(flow, id)) return true;
        return false;
    }

    /// <summary>Notes who has it open for writing, so that a successor goes on with that. From now on what it reads may be cached.</summary>
    internal void MarkOpen(Volume volume, int port)
    {
        Mark(volume.Flow, (uint)port + 1);
        // Not as soon as the lock is had: who stands by here still does so after a SNAPSHOT, and another host may write to the volume then.
        SetUncached(volume.Flow, 0);
    }

    /// <summary>Whoever opened it lives, and may write to it.</summary>
    internal unsafe bool IsInUse(Volume volume) =>
        context.Segment.FlowAt(volume.Flow)->OpenBy is var by and not 0 && by <= (uint)context.Segment.PortCount && PortTable.IsAlive(context.Segment, (int)by - 1);

    private async Task<T> OneAtATimeAsync<T>(ulong id, Func<Held, Task<T>> step)
    {
        if (!_held.TryGetValue(id, out var held)) _held.Add(id, held = new Held(context.Reactor));
        held.Users++;
        await held.Gate.EnterAsync();
        try
        {
            return await step(held);
        }
        finally
        {
            held.Gate.Exit();
            if (--held.Users == 0 && held is { ByVolume: false, Holds: 0 } && _held.GetValueOrDefault(id) == held) _held.Remove(id);
        }
    }

    private ValueTask<(int Status, ulong Epoch)> TakeAsync(uint flow, ulong id) => meta.RunAsync(
        XsegOp.Acquire, flow, ObjectOf(id), 0, (ulong)options.Lease.Ticks * 100, RequestFlags.NoSync, Encoding.UTF8.GetBytes(options.Owner), Cookie());

    private async ValueTask<int> GiveBackAsync(uint flow, ulong id) => (await meta.RunAsync(XsegOp.Release, flow, ObjectOf(id), result: Cookie())).Status;

    /// <summary>The volume's flow, for whoever waits to take it over: nothing is cached under it until then.</summary>
    /// <exception cref="ErrnoException">EBUSY: this host has the volume itself.</exception>
    internal async ValueTask<uint> StandByAsync(Volume volume, int user)
    {
        uint flow = await flows.FindOrAddAsync(volume.Name, user);
        if (IdOf(flow) != 0) throw new ErrnoException(Errno.EBUSY, $"volume {volume.Name} is open for writing on this host itself");
        await DropAsync(volume.Name, flow);
        SetUncached(flow, 1);
        Mark(flow, 0);
        return flow;
    }

    /// <summary>This host has lost the volume: what it has not written can never be written. May be repeated.</summary>
    internal ValueTask LoseAsync(string name, uint flow)
    {
        // Without a lock's id the epoch is one that no lock has: whatever comes is refused, at once as nothing is cached, and so is a FLUSH of what was cached.
        Tell(flow, 0, Epoch(flow));
        SetUncached(flow, 1);
        Mark(flow, FlowEntry.Lost);
        return DropAsync(name, flow);
    }

    /// <summary>Whoever had the volume open here when it was lost has closed it, or opens it anew.</summary>
    internal void ForgetLoss(uint flow)
    {
        if (flow != 0 && IsLost(flow)) Mark(flow, 0);
    }

    private async ValueTask AdmitAsync(Volume volume, ulong id, ulong epoch)
    {
        ulong last = Epoch(volume.Flow);
        if (IsMarkedOpen(volume.Flow, id) && last != epoch) await LoseAsync(volume.Name, volume.Flow);
        // What its user knows of the map is out of date: what it writes is refused until it opens the volume again.
        if (IsLost(volume.Flow))
            throw new ErrnoException(Errno.ESTALE, $"volume {volume.Name}: its lock was lost while it was open here; close it and open it again");

        bool stoodBy = IsUncached(volume.Flow);
        // The name may have been another volume's, whose epochs tell nothing of this one's.
        volume.WasElsewhere = stoodBy || VolumeOf(volume.Flow) != id || (last != epoch && last != epoch - 1);
        if (volume.WasElsewhere && (stoodBy || last != 0))
        {
            if (!stoodBy) context.Log.LogInformation("volume {Volume}: another host had it since, or another volume the name; what is cached of it here is dropped", volume.Name);
            await DropAsync(volume.Name, volume.Flow);
        }

        Tell(volume.Flow, id, epoch);
        SetVolume(volume.Flow, id);
    }

    private unsafe uint OpenBy(uint flow) => context.Segment.FlowAt(flow)->OpenBy;

    private async ValueTask DropAsync(string name, uint flow)
    {
        var (status, _) = await data.RunAsync(XsegOp.Invalidate, flow, default);
        if (status is not (0 or Errno.ENOTSUP)) throw new ErrnoException(status, $"volume {name}: what is cached of it cannot be dropped: {Errno.Describe(status)}");
    }

    private unsafe bool IsUncached(uint flow) => context.Segment.FlowAt(flow)->Uncached != 0;

    private void SetUncached(uint flow, byte value) => SetUncached(context.Segment, flow, value);

    /// <summary>Whether nothing of a flow is cached, whatever its policy.</summary>
    internal static unsafe void SetUncached(Segment segment, uint flow, byte value) => Shared.Store(ref segment.FlowAt(flow)->Uncached, value);

    private unsafe ulong VolumeOf(uint flow) => context.Segment.FlowAt(flow)->VolumeId;

    private unsafe void SetVolume(uint flow, ulong id) => Shared.Store(ref context.Segment.FlowAt(flow)->VolumeId, id);

    private unsafe ulong IdOf(uint flow) => context.Segment.FlowAt(flow)->LockId;

    private unsafe ulong Epoch(uint flow) => context.Segment.FlowAt(flow)->LockEpoch;

    private unsafe void Mark(uint flow, uint openBy)
    {
        if (flow != 0) Shared.Store(ref context.Segment.FlowAt(flow)->OpenBy, (ushort)openBy);
    }

    private bool IsLost(uint flow) => FlowTable.IsLost(context.Segment, flow);

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
