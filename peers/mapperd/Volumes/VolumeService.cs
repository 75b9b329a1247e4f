using System.Buffers.Binary;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>
/// Makes, opens, changes and deletes volumes and snapshots. Each change works under the volume's gate and with its lock; the order of its writes, and what a crash
/// between them leaves, is in README.md. Failures are <see cref="ErrnoException"/>s that say what and where. One reactor.
/// </summary>
internal sealed partial class VolumeService
{
    private readonly PeerContext _context;
    private readonly MapperdOptions _options;
    private readonly ObjectIo _meta, _data;
    private readonly VolumeStore _store;
    private readonly VolumeLocks _locks;

    internal VolumeService(PeerContext context, MapperdOptions options, ObjectIo meta, ObjectIo data)
    {
        (_context, _options, _meta, _data) = (context, options, meta, data);
        _store = new VolumeStore(context, meta, new ChunkStore(meta, options.Memory, context.Log));
        Table = new VolumeTable(context.Reactor);
        Flows = new VolumeFlows(context, data, IsUsed, () => IsStopping);
        _locks = new VolumeLocks(context, meta, data, Flows, options);
        Flows.LetGoOfLeft = () => _locks.LetGoOfLeftAsync(IsUsed);
        Catalogue = new Catalogue(context, meta);
        _droppingNames = new AsyncGate(context.Reactor);
    }

    internal VolumeTable Table { get; }
    internal VolumeFlows Flows { get; }
    internal Catalogue Catalogue { get; }
    internal VolumeStore Store => _store;
    /// <summary>Background work stops at the next object.</summary>
    internal bool IsStopping { get; set; }
    /// <summary>What was cut off before this start has been looked for.</summary>
    internal bool IsSettled { get; set; }
    /// <summary>Requests under way.</summary>
    internal int InFlight => _meta.InFlight + _data.InFlight + Flows.Going;

    /// <summary>Opens for writing: the lock is taken, its epoch raised, and the map is as the store holds it. Again for the same segment: nothing happens.</summary>
    internal async Task<Volume> OpenAsync(string name, int opener, bool isPatient = true)
    {
        var volume = await Table.EnterAsync(name);
        try
        {
            if (!volume.IsOpen || !volume.IsLoaded)
            {
                ForgetLoss(volume, opener);
                if (isPatient) await LockPatientlyAsync(volume);
                else await LockAsync(volume);
                // As a predecessor's user had it open, it has the lock for that already.
                if (volume.IsOpen) volume.LockUsers--;
                volume.IsOpen = true;
                await ListAgainAsync(volume.Root!);
                // What comes between two slices of a purge is not seen by it.
                ForgetCursors(volume.Root!.Id);
                StartPurge(volume);
            }

            _locks.MarkOpen(volume, opener);
            return volume;
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Whoever opens a volume that was lost here begins anew, and whoever closes it has done with it; but as long as others who had it then have not closed it, they would write to it again.</summary>
    private void ForgetLoss(Volume volume, int user)
    {
        uint flow = FlowTable.Find(_context.Segment, volume.NameBytes);
        if (!FlowUse.HasOthers(_context.Segment, flow, user)) _locks.ForgetLoss(flow);
    }

    /// <summary>Ends an OPEN for writing: everything is stable, and the lock is given back.</summary>
    internal async Task CloseAsync(string name, int closer, bool isReplay = false)
    {
        var volume = await Table.EnterAsync(name);
        try
        {
            if (!volume.IsOpen && await WasOpenAsync(volume)) await ResumeOrLoseAsync(volume);
            bool wasUsed = IsUsedOrLost(volume);
            if (!volume.IsOpen) _locks.ForgetLoss(FlowTable.Find(_context.Segment, volume.NameBytes));
            if (!volume.IsOpen && isReplay)
            {
                // Cut off between its end and the lock's: nobody else gives that back.
                if (!volume.IsLocked && await _store.ResolveAsync(name) is var id and not 0) await _locks.ReleaseLeftAsync(id);
                return;
            }

            if (!volume.IsOpen) throw await NotOpenAsync(name, wasUsed);
            volume.IsOpen = false;
            try
            {
                // Who removes a snapshot of it may need the lock for a long time yet; what was written is stable now.
                if (volume.LockUsers > 1) await _locks.EndOpenAsync(volume);
                await UnlockAsync(volume, orThrow: true);
            }
            catch (ErrnoException failed)
            {
                volume.IsOpen = true;
                // Its user has let go: who opens it next is to take the lock anew, and not to go on with the broken one until the next renewal.
                if (failed.Errno == Errno.ESTALE)
                {
                    await LoseIfBrokenAsync(volume);
                    ForgetLoss(volume, closer);
                }

                throw;
            }
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>The volume, open for writing, for a request of its map; opened by a predecessor if need be.</summary>
    internal async ValueTask<Volume> ResumeAsync(string name, uint flow, int opener)
    {
        if (Table.Find(name) is { IsOpen: true, IsLoaded: true } found && found.Flow == flow) return found;
        var volume = await Table.EnterAsync(name);
        try
        {
            if (volume is { IsOpen: true, IsLoaded: true } && volume.Flow == flow) return volume;
            if (!volume.IsOpen && !await WasOpenAsync(volume)) throw new ErrnoException(Errno.ESTALE, $"volume {name} is not open for writing here; open it");
            await ResumeAsync(volume);
            _locks.MarkOpen(volume, opener);
            if (volume.Flow != flow) throw new ErrnoException(Errno.EINVAL, $"volume {name}: the request's flow {flow} is not the volume's, {volume.Flow}");
            return volume;
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Under the gate: the volume as the store holds it, with the lock, for those who have it open.</summary>
    private async ValueTask ResumeAsync(Volume volume)
    {
        await LockAsync(volume);
        if (volume.IsOpen) volume.LockUsers--;
        volume.IsOpen = true;
        StartPurge(volume);
    }

    /// <summary>The same for its end. If another host has taken it since, as from the dead, that is the end of it here.</summary>
    private async ValueTask ResumeOrLoseAsync(Volume volume)
    {
        try
        {
            await ResumeAsync(volume);
        }
        catch (ErrnoException busy) when (busy.Errno == Errno.EBUSY)
        {
            TellLoss(volume.Name);
            await _locks.LoseAsync(volume.Name, FlowTable.Find(_context.Segment, volume.NameBytes));
        }
    }

    /// <summary>Root, snapshots and map as they are: in memory where this host has the lock, else read now.</summary>
    internal async Task<Volume> LookAsync(string name)
    {
        if (Table.Find(name) is { IsLocked: true, IsLoaded: true } known) return known.AsSeen(_context.Reactor);
        var seen = new Volume(name, _context.Reactor);
        await _store.LoadAsync(seen);
        return seen;
    }

    /// <summary>Runs a change of structure: under the gate, with the lock.</summary>
    private async Task<T> ChangeAsync<T>(string name, Func<Volume, Task<T>> change, bool isAlone = false)
    {
        var volume = isAlone ? await EnterAloneAsync(name) : await Table.EnterAsync(name);
        try
        {
            if (!isAlone) await LockPatientlyAsync(volume);
            try
            {
                return await change(volume);
            }
            finally
            {
                await UnlockAsync(volume, orThrow: false);
            }
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>
    /// Enters a volume, with the lock, when no background work is at it any more: that goes by the volume's name and lock, which are about to go. One that is open is
    /// entered as it is, for a refusal, unless <paramref name="isForNobody"/>.
    /// </summary>
    private async ValueTask<Volume> EnterAloneAsync(string name, bool isForNobody = false)
    {
        for (int tries = 0; ; tries++)
        {
            var volume = await Table.EnterAsync(name);
            bool isAlone = false;
            try
            {
                await LockPatientlyAsync(volume);
                isAlone = (volume.IsOpen && !isForNobody) || volume.IsKept || volume.LockUsers == (volume.IsOpen ? 2 : 1) || tries == 300;
                volume.IsWanted = !isAlone;
                if (isAlone) return volume;
                await UnlockAsync(volume, orThrow: false);
            }
            finally
            {
                if (!isAlone) Table.Leave(volume);
            }

            await _context.Reactor.Delay(TimeSpan.FromMilliseconds(10));
        }
    }

    /// <summary>A purge of another host gives the lock back every few seconds.</summary>
    private async ValueTask<int> LockPatientlyAsync(Volume volume)
    {
        for (int tries = 0; ; tries++)
        {
            try
            {
                return await LockAsync(volume);
            }
            catch (ErrnoException busy) when (busy.Errno == Errno.EBUSY && tries < 30 && !IsStopping)
            {
                await _context.Reactor.Delay(TimeSpan.FromMilliseconds(100));
            }
        }
    }

    /// <summary>One more user of the lock; the term under which it is, for who gives it back when it may have been lost meanwhile.</summary>
    private async ValueTask<int> LockAsync(Volume volume)
    {
        if (!volume.IsLocked || !volume.IsLoaded) await ReloadAsync(volume);
        volume.LockUsers++;
        return volume.LockTerm;
    }

    /// <summary>Takes the lock, or keeps it, and reads everything anew.</summary>
    private async ValueTask ReloadAsync(Volume volume)
    {
        // What is written under the map as it was is not in what is read meanwhile.
        await QuiesceAsync(volume);
        volume.IsReloading = true;
        try
        {
            await ReloadAloneAsync(volume);
        }
        finally
        {
            volume.IsReloading = false;
        }
    }

    /// <summary>Waits for the end of what is being written of the volume's map.</summary>
    private async ValueTask QuiesceAsync(Volume volume)
    {
        while (volume.Copies.Count > 0 || volume.Writer is { IsIdle: false }) await _context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
    }

    private async ValueTask ReloadAloneAsync(Volume volume)
    {
        ulong id = await _store.ResolveAsync(volume.Name);
        if (id == 0)
        {
            _store.Unload(volume);
            throw VolumeStore.NoVolume(volume.Name);
        }

        bool wasOpen = _locks.IsMarkedOpen(FlowTable.Find(_context.Segment, volume.NameBytes), id);
        ulong epoch = await _locks.AcquireAsync(volume, id);
        try
        {
            // With the lock: whoever had it until now may have changed it.
            await _store.LoadAsync(volume);
            // Deleted, and made anew with its name, since it was looked up: that is another volume, with another lock.
            if (volume.Root!.Id != id) throw new ErrnoException(Errno.EAGAIN, $"volume {volume.Name} was replaced by another one while it was being opened; try again");
            volume.SetHead(volume.Head.Locked());
            // What that one's head has left lies behind the cursor of a purge that goes on here.
            if (volume.WasElsewhere) ForgetCursors(id);
            if (volume.Root.Epoch != epoch) await _store.CommitAsync(volume, volume.Root with { Epoch = epoch });
            // Only then: whoever had the lock and hangs may still be about to commit the root that makes them count.
            foreach (int slot in volume.Leftovers.ToArray()) await _store.PutSnapshotAsync(volume, slot, null);
            volume.Writer = new EntryWriter(volume, _store, (chunk, word) => LeaveChunkAsync(volume, chunk, word));
            volume.LockedId = id;
            // Open since before this process: its user goes on, and will close it.
            if (!volume.IsOpen && wasOpen) (volume.IsOpen, volume.LockUsers) = (true, volume.LockUsers + 1);
        }
        catch (ErrnoException failed)
        {
            if (!volume.IsLocked) await GiveBackAsync(volume, id);
            if (failed.Errno is Errno.ENOENT or Errno.EAGAIN) await DropLockOfGoneAsync(volume.Name, id);
            throw;
        }
    }

    private async ValueTask UnlockAsync(Volume volume, bool orThrow, int? term = null)
    {
        // Lost meanwhile: it is nobody's, or that of who has taken it since.
        if (term is { } its && its != volume.LockTerm) return;
        if (volume.LockUsers > 1)
        {
            volume.LockUsers--;
            return;
        }

        if (orThrow) await _locks.ReleaseAsync(volume, volume.LockedId);
        else await GiveBackAsync(volume, volume.LockedId);
        volume.LockUsers = 0;
        _store.Unload(volume);
    }

    private async ValueTask GiveBackAsync(Volume volume, ulong id)
    {
        try
        {
            await _locks.ReleaseAsync(volume, id);
        }
        catch (ErrnoException failed)
        {
            _context.Log.LogWarning("{Error}; its lease will run out", failed.Message);
        }
    }

    /// <summary>Somebody here has the volume's flow, be it that he lost the volume: ESTALE tells him that it is his no more.</summary>
    private bool IsUsedOrLost(Volume volume) =>
        FlowTable.Find(_context.Segment, volume.NameBytes) is var flow and not 0 && FlowUse.IsUsed(_context.Segment, flow);

    /// <summary>Why a close is refused. What nobody here has ever had, or has closed, was not taken from anybody.</summary>
    private async ValueTask<ErrnoException> NotOpenAsync(string name, bool wasUsed)
    {
        if (wasUsed)
            return new ErrnoException(Errno.ESTALE, $"volume {name} is not open for writing here: nobody has opened it, or another host has taken it over; `archipelago volume info {name}` says who has it");
        return await _store.ResolveAsync(name) == 0 ? VolumeStore.NoVolume(name)
            : new ErrnoException(Errno.EINVAL, $"volume {name} is not open here: there is nothing to close; `archipelago volume info {name}` says who has it");
    }

    private async ValueTask<bool> WasOpenAsync(Volume volume)
    {
        uint flow = FlowTable.Find(_context.Segment, volume.NameBytes);
        return flow != 0 && await _store.ResolveAsync(volume.Name) is var id and not 0 && _locks.IsMarkedOpen(flow, id);
    }

    /// <summary>Gives back what nobody uses; what is in use stays this segment's, and a successor goes on with it.</summary>
    internal async ValueTask StopAsync()
    {
        foreach (var volume in Table.All.Where(volume => volume.IsOpen && !_locks.IsInUse(volume)).ToArray()) await CloseAsync(volume.Name, _context.Port.Number);
    }

    /// <summary>Background work rests, but not when it is to end.</summary>
    private async ValueTask RestAsync(TimeSpan delay)
    {
        long until = _context.Reactor.Now + delay.Ticks * 100;
        while (!IsStopping && _context.Reactor.Now is var now && now < until)
            await _context.Reactor.Delay(TimeSpan.FromTicks(Math.Min((until - now) / 100 + 1, TimeSpan.TicksPerMillisecond * 20)));
    }

    /// <summary>
    /// An id that nothing else in the store has: the reactor's random numbers alone may repeat on another host, so the segment's
    /// identity and the time go in.
    /// </summary>
    private ulong NewId()
    {
        Span<byte> seed = stackalloc byte[32];
        BinaryPrimitives.WriteUInt128LittleEndian(seed, _context.Segment.CreationId);
        BinaryPrimitives.WriteInt64LittleEndian(seed[16..], _context.Reactor.Clock.UtcNow.UtcTicks);
        BinaryPrimitives.WriteUInt64LittleEndian(seed[24..], _context.Reactor.Random.NextUInt64());
        return Math.Max(1, Hash128.Of(seed).Low);
    }

    private ulong NewLayer() => MapEntry.LayerFrom(NewId());

    private long NowUnix() => (_context.Reactor.Clock.UtcNow.UtcTicks - DateTime.UnixEpoch.Ticks) * 100;

    private bool IsUsed(uint flow) => Table.All.Any(volume => volume.Flow == flow);

    private static int ChunksOf(ulong size, int objectSize) => MapGeometry.ChunksFor(MapGeometry.ObjectsFor(size, objectSize));
}
