using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>Deletion of snapshots and volumes, names, independence of a clone.</summary>
internal sealed partial class VolumeService
{
    /// <summary>Deletes a snapshot: gone when this is done, what only it refers to goes in the background.</summary>
    /// <exception cref="ErrnoException">EBUSY: it has clones.</exception>
    internal Task<VolumeRoot> DeleteSnapshotAsync(VolumeName name) => ChangeAsync(name.Volume, async volume =>
    {
        await MarkDeletedAsync(volume, volume.Find(name.Snapshot!) ?? throw NoSnapshot(name));
        StartPurge(volume);
        return volume.Root!;
    });

    /// <summary>
    /// Deletes a volume: gone, and its name free, when this is done; its objects go in the background. <paramref name="snapshots"/>: with its snapshots.
    /// <paramref name="isForNobody"/>: if it is open, nobody uses it any more, and what is not stable of it need not become so, as on a store that is full.
    /// </summary>
    internal async Task DeleteAsync(string name, bool snapshots, bool isForNobody)
    {
        // Nobody needs it to be independent any more.
        EndFlatten(name);
        var volume = await EnterAloneAsync(name, isForNobody);
        try
        {
            bool isGone = false;
            try
            {
                if (volume.IsKept) throw Kept(name);
                if (volume.IsOpen && !isForNobody) throw LeftOpen(name);
                if (volume.LockUsers > (volume.IsOpen ? 2 : 1)) throw Busy(name);
                await QuiesceAsync(volume);
                var live = volume.Snapshots.Where(record => record.State == SnapshotState.Live).ToArray();
                if (live.Length > 0 && !snapshots)
                    throw new ErrnoException(Errno.EBUSY, $"volume {name} has {live.Length} {(live.Length == 1 ? "snapshot" : "snapshots")} ({string.Join(", ", live.Take(5).Select(record => record.Name))}); delete them first, or with it: --snapshots");
                var root = volume.Root!;
                await RefuseClonesAsync(root, live, volume.Faults.Count > 0);
                var entry = await Catalogue.FindAsync(root.Id) ?? await Catalogue.AddAsync(CatalogueRecord.Of(root, RecordState.Deleting));
                try
                {
                    entry = await Catalogue.ReplaceAsync(entry, entry.Record.As(root, RecordState.Deleting));
                    // Who clones records that first, and looks for our mark then.
                    await RefuseClonesAsync(root, live, volume.Faults.Count > 0);
                    await _store.CommitAsync(volume, root with { IsDeleted = true });
                }
                catch (ErrnoException)
                {
                    // It is listed again, or removed.
                    StartSettling();
                    throw;
                }

                isGone = true;
                await FreeNameAsync(name, root.Id);
                StartRemoval(entry, isHeld: false);
            }
            finally
            {
                // Until it is removed altogether this host keeps its lock; a later one finds it by its record.
                if (isGone) ForgetLock(volume);
                else await UnlockAsync(volume, orThrow: false);
            }
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Gives a closed volume another name.</summary>
    internal async Task<VolumeRoot> RenameAsync(string name, string to, UInt128 identity)
    {
        if (name == to) throw new ErrnoException(Errno.EINVAL, $"volume {name} has that name already");
        // Both names, in an order that all keep: nobody else makes a volume of the new one meanwhile.
        bool isFirst = string.CompareOrdinal(to, name) < 0;
        var target = isFirst ? await Table.EnterAsync(to) : null;
        try
        {
            // Background work goes by the name, and would give the lock back that whoever opens the new name has.
            return await ChangeAsync(name, async volume =>
            {
                if (volume.IsOpen) throw LeftOpen(name);
                if (volume.IsKept) throw Kept(name);
                if (volume.LockUsers > 1) throw Busy(name);
                var root = volume.Root!;
                target ??= await Table.EnterAsync(to);
                var (sector, existing) = await LookUpNameAsync(to);
                if (existing != null) throw new ErrnoException(Errno.EEXIST, $"volume {to} exists already; choose another name, or rename or delete that one");
                await TakeNameAsync(to, sector, root.Id);
                await _store.CommitAsync(volume, root with { Name = to, ChangedBy = identity });
                root = volume.Root!;
                await FreeNameAsync(name, root.Id);
                await ListAsync(root);
                StartDroppingName(name);
                Flows.Remove(FlowNames(name, volume.Snapshots));
                // What was put off goes on under the new name.
                StartSettling();
                return root;
            }, isAlone: true);
        }
        catch (ErrnoException gone) when (gone.Errno == Errno.ENOENT && identity != 0)
        {
            // A replay: it has the other name already.
            if (await FindDoneAsync(to, identity) is not { } root) throw;
            await FreeNameAsync(name, root.Id);
            await ListAsync(root);
            return root;
        }
        finally
        {
            if (target != null) Table.Leave(target);
        }
    }

    private static ErrnoException Busy(string name) => new(Errno.EAGAIN, $"volume {name} is being flattened, or collected; try again in a while");

    /// <summary>Frees a name, if the volume still has it.</summary>
    private async ValueTask FreeNameAsync(string name, ulong id)
    {
        int status = await _meta.SwapAsync(VolumeName.ObjectOf(name), 0, NameRecord.ToSector(id, name), new byte[Sector.Bytes]);
        if (status is not (0 or Errno.EILSEQ)) _context.Log.LogWarning("object n.{Volume} cannot be written: {Error}; the name is free all the same", name, Errno.Describe(status));
    }

    /// <summary>
    /// Deletes the object of a name that is free, in the background: nobody waits for it, and where it is not done, as at a stop, the collector does it. Whoever makes a
    /// volume of that name meanwhile waits, or keeps the object.
    /// </summary>
    private void StartDroppingName(string name)
    {
        if (IsStopping) return;
        Purges++;
        _ = DropAsync();

        async Task DropAsync()
        {
            try
            {
                await _context.Reactor.Delay(TimeSpan.Zero);
                if (!IsStopping) await DropNameAsync(name, new byte[Sector.Bytes]);
            }
            catch (ErrnoException later)
            {
                _context.Log.LogDebug("the name {Name}, which is free, keeps its object: {Error}", name, later.Message);
            }
            finally
            {
                Purges--;
            }
        }
    }

    /// <summary>Marks first, and looks for clones then: whoever clones at the same time does it the other way round, so that one of both sees the other.</summary>
    private async ValueTask MarkDeletedAsync(Volume volume, SnapshotRecord snapshot)
    {
        // A refusal should change nothing, were it cut off.
        await RefuseClonesAsync(volume.Root!, [snapshot]);
        int slot = volume.Slots.IndexOf(snapshot);
        await _store.PutSnapshotAsync(volume, slot, snapshot with { State = SnapshotState.Deleting });
        try
        {
            await RefuseClonesAsync(volume.Root!, [snapshot]);
        }
        catch (ErrnoException)
        {
            await _store.PutSnapshotAsync(volume, slot, snapshot);
            throw;
        }
    }

    /// <exception cref="ErrnoException">EBUSY: one of the snapshots has clones. EIO: nobody knows.</exception>
    private async ValueTask RefuseClonesAsync(VolumeRoot root, IReadOnlyList<SnapshotRecord> snapshots, bool isDamaged = false)
    {
        if (snapshots.Count == 0 && !isDamaged) return;
        var entries = await Catalogue.ReadAsync();
        if (Catalogue.FaultFor(root, entries) is { } fault) throw new ErrnoException(Errno.EIO, $"volume {root.Name}: nobody knows whether its snapshots have clones, for {fault}");
        foreach (var snapshot in snapshots)
        {
            var clones = entries.Where(entry => entry.Record.BaseVolume == root.Id && entry.Record.BaseSnapshot == snapshot.Number && entry.Record.State != RecordState.Deleting).ToArray();
            if (clones.Length == 0) continue;
            throw new ErrnoException(
                Errno.EBUSY, $"snapshot {root.Name}@{snapshot.Name} has {clones.Length} {(clones.Length == 1 ? "clone" : "clones")} ({string.Join(", ", clones.Take(5).Select(entry => entry.Record.Name))}); flatten or delete them first");
        }

        // A snapshot whose record is damaged is in no list, and may be the one that was cloned.
        if (isDamaged && entries.Find(entry => entry.Record.BaseVolume == root.Id && entry.Record.State != RecordState.Deleting) is { } clone)
            throw new ErrnoException(Errno.EBUSY, $"volume {root.Name}: {clone.Record.Name} was cloned from a snapshot of it whose record is damaged; flatten or delete that first");
    }

    /// <summary>vlmcd has asked, and has nobody who has it open: it was a predecessor's user, who may come back.</summary>
    private static ErrnoException LeftOpen(string name) => new(
        Errno.EBUSY, $"volume {name} is open; close it first. If it is open for nobody, as its client went when a process of this host died: `archipelago volume close {name}`");

    private static ErrnoException Kept(string name) => new(Errno.EBUSY, $"volume {name} is locked here; `archipelago volume unlock {name}` first");

    private async ValueTask<VolumeRoot?> FindDoneAsync(string name, UInt128 identity) =>
        await _store.ResolveAsync(name) is var id and not 0 && await _store.ReadRootAsync(id) is { } root && IsDone(root, identity) ? root : null;

    private void ForgetLock(Volume volume)
    {
        _locks.Leave(volume, volume.LockedId);
        (volume.IsKept, volume.IsOpen) = (false, false);
        volume.LockUsers = 0;
        volume.LockTerm++;
        _store.Unload(volume);
    }
}
