using Archipelago.Mapperd.Checking;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Mapperd.Purging;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>What a collection has found and done.</summary>
/// <param name="Objects">Objects of the store.</param>
/// <param name="Unreferenced">Of them those that nothing refers to.</param>
/// <param name="Removed">Of these those that were removed.</param>
/// <param name="Foreign">Objects that are nothing of ours; they are left alone.</param>
/// <param name="Skipped">What was not looked at, and why.</param>
internal sealed record Collection(long Objects, long Unreferenced, long Removed, long Foreign, IReadOnlyList<string> Skipped);

/// <summary>
/// The collector: removes what crashes have left and nothing refers to. First the store is listed, then everything that may refer to an object is read. Whatever is
/// made later is either of a layer that a volume writes to, which is looked at under that volume's lock, or refers to what something refers to already. So it
/// may run beside everything else, on several hosts, and be killed.
/// </summary>
internal sealed partial class VolumeService
{
    /// <summary>No volume has a name with this character.</summary>
    private const string NameFlow = "@names";

    private readonly AsyncGate _droppingNames;
    private bool _collecting;

    /// <summary>Removes what nothing refers to, or only counts it.</summary>
    /// <param name="dryRun">Count, and remove nothing.</param>
    /// <param name="progress">Told what is being done and how many objects were looked at.</param>
    /// <exception cref="ErrnoException">EBUSY: one runs. EUCLEAN: a damaged map hides what it refers to.</exception>
    internal async Task<Collection> CollectAsync(bool dryRun, Action<string, long>? progress = null)
    {
        if (_collecting) throw new ErrnoException(Errno.EBUSY, "a collection runs already");
        _collecting = true;
        Purges++;
        try
        {
            var found = await Inventory.TakeAsync(_meta, count =>
            {
                progress?.Invoke("listing", count);
                return !IsStopping;
            });
            await ListLostAsync(found);
            var listed = (await Catalogue.ReadAsync()).DistinctBy(entry => entry.Record.Id).ToDictionary(entry => entry.Record.Id);
            var references = await MarkAsync(found, listed, progress);
            return await new Sweep(this, found, references, listed.Keys.ToHashSet(), dryRun, progress).RunAsync();
        }
        finally
        {
            Purges--;
            _collecting = false;
        }
    }

    /// <summary>
    /// Lists again all that lives and is in no record. Until the last of them is listed none of their records tells that there are no clones, for the next may be of one:
    /// that a volume can lose a snapshot while this goes on would cost its clone the data. Cut off it is repeated.
    /// </summary>
    private async ValueTask ListLostAsync(Inventory found)
    {
        var listed = (await Catalogue.ReadAsync()).Select(entry => entry.Record.Id).ToHashSet();
        var lost = new List<VolumeRoot>();
        bool isKnown = true;
        foreach (ulong id in found.Roots.Where(id => !listed.Contains(id)).ToArray())
        {
            try
            {
                if (await FindLivingAsync(id) is { } root) lost.Add(root);
            }
            catch (ErrnoException damaged) when (damaged.Errno is Errno.EIO or Errno.EPROTO)
            {
                // Whose clone it is nobody knows; the marking says what is damaged.
                isKnown = false;
            }
        }

        foreach (var root in lost)
        {
            _context.Log.LogWarning("volume {Volume}: it was not in the catalogue, and is listed again", root.Name);
            await ListAsync(root);
        }

        var entries = await Catalogue.ReadAsync();
        if (!isKnown || lost.Exists(root => !entries.Exists(entry => entry.Record.Id == root.Id))) return;
        foreach (var entry in entries.Where(entry => entry.Record.IsAlone))
        {
            try
            {
                await Catalogue.ReplaceAsync(entry, entry.Record with { IsAlone = false });
            }
            catch (ErrnoException later)
            {
                _context.Log.LogWarning("{Error}; until the next collection nothing is deleted that may have clones of it", later.Message);
            }
        }
    }

    /// <summary>The root of a volume that its name names; null if there is none, as it is being made or deleted. The name may change meanwhile, but not without the root.</summary>
    private async ValueTask<VolumeRoot?> FindLivingAsync(ulong id)
    {
        for (VolumeRoot? before = null; ;)
        {
            var root = await _store.ReadRootAsync(id);
            if (root is not { IsDeleted: false } || root == before) return null;
            if (NameRecord.Read(await _store.ReadSectorAsync(VolumeName.ObjectOf(root.Name), $"volume {root.Name}"), root.Name) == id) return root;
            before = root;
        }
    }

    /// <summary>
    /// Removes the root of a volume that is in no record, and does not live: it was being removed, or never came to be. It may be renamed, or listed, until the lock and the gate of its
    /// name are had here, so it is looked at again then. False if it is somebody's.
    /// </summary>
    internal async ValueTask<bool> DropRootAsync(VolumeRoot root)
    {
        var volume = await Table.EnterAsync(root.Name);
        try
        {
            if (IsBusyHere(root.Id)) return false;
            try
            {
                await _locks.HoldAsync(root.Id);
            }
            catch (ErrnoException)
            {
                // Another host is at it, or a full store has no room for a lock.
                return false;
            }

            bool isGone = false;
            try
            {
                if (await _store.ReadRootAsync(root.Id) != root || await Catalogue.FindAsync(root.Id) != null || await FindLivingAsync(root.Id) != null) return false;
                await _store.DeleteAsync(MapDirectory.ObjectOf(root.Id, root.Generation));
                await _store.DeleteAsync(VolumeRoot.ObjectOf(root.Id));
                await _store.DeleteAsync(VolumeLocks.ObjectOf(root.Id));
                _locks.Forget(root.Id);
                return isGone = true;
            }
            finally
            {
                if (!isGone) await _locks.LetGoAsync(root.Id);
            }
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Everything that any volume refers to, also those that are being deleted, and those that the catalogue has lost.</summary>
    private async ValueTask<References> MarkAsync(Inventory found, Dictionary<ulong, Catalogue.Entry> listed, Action<string, long>? progress)
    {
        var references = new References();
        long done = 0;
        foreach (ulong id in found.Roots.Union(listed.Keys).ToArray())
        {
            if (IsStopping) throw new ErrnoException(Errno.ESHUTDOWN, "mapperd stops; nothing was removed");
            progress?.Invoke("reading maps", ++done);
            string name = listed.TryGetValue(id, out var entry) ? entry.Record.Name : $"{id:x16}";
            var seen = new Volume(name, _context.Reactor);
            while (true)
            {
                if (!await _store.TryLoadAsync(seen, id))
                {
                    // Of what is being made or deleted there may be none; of what lives it was lost, and with it what its objects are for.
                    if (entry?.Record.State == RecordState.Live && (await Catalogue.FindAsync(id))?.Record.State == RecordState.Live)
                        throw Hidden(name, $"its header, object v.{id:x16}, is missing", HeaderCheck.GiveUp(name));
                    break;
                }

                if (await MarkAsync(references, seen))
                {
                    // A map that has become another one while it was read tells nothing of that.
                    if (await _store.IsUnchangedAsync(seen)) break;
                    seen = new Volume(name, _context.Reactor);
                    continue;
                }

                // A part of it may have been deleted while its map was read.
                var before = seen;
                seen = new Volume(name, _context.Reactor);
                if (await _store.TryLoadAsync(seen, id) && seen.RootSector.AsSpan().SequenceEqual(before.RootSector) && seen.Slots.SequenceEqual(before.Slots))
                    throw Hidden(seen.Root!.Name, "a part of its map is damaged, see the log");
            }
        }

        return references;
    }

    /// <summary>Adds what a volume refers to; false if a part of its map is damaged.</summary>
    private async ValueTask<bool> MarkAsync(References references, Volume seen)
    {
        var root = seen.Root!;
        if (seen.Faults.Count > 0) throw Hidden(root.Name, seen.Faults.First().Value);
        references.OwnLayers[root.Layer] = root.Name;
        // What is being deleted may be half gone: the rest goes with it.
        bool whole = root.IsDeleted || await references.AddAsync(seen.Head, MapGeometry.ObjectsFor(root.Size, root.ObjectSize));
        foreach (var snapshot in seen.Snapshots)
            whole &= await references.AddAsync(await _store.MapOfAsync(root, snapshot), MapGeometry.ObjectsFor(snapshot.Size, root.ObjectSize)) || root.IsDeleted || snapshot.State != SnapshotState.Live;
        return whole;
    }

    private static ErrnoException Hidden(string volume, string what, string elseDo = "or delete the volume") => new(
        Errno.EUCLEAN, $"volume {volume}: {what}. What it refers to is not known, so nothing is removed; restore the object that is damaged; {elseDo}");

    /// <summary>Deletes an object of a volume's own layer that its map does not name, while no copy to it can be under way.</summary>
    internal async ValueTask<bool> DropOrphanAsync(Volume volume, ulong layer, ulong index, bool dryRun)
    {
        while (volume.IsRebuilding || volume.Copies.ContainsKey(index)) await _context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
        if (volume.Root?.Layer != layer) return false;
        var turn = new TaskCompletionSource<int>();
        volume.Copies.Add(index, turn.Task);
        try
        {
            bool inside = index < MapGeometry.ObjectsFor(volume.Root.Size, volume.Root.ObjectSize);
            if (inside && (await volume.Head.FindAsync(index)) is var entry && (entry.IsDamaged || entry.Layer == layer)) return false;
            if (dryRun) return true;
            var (status, _) = await _data.RunAsync(XsegOp.Delete, volume.Flow, LayerName.Data(layer, index));
            return status is 0 or Errno.ENOENT;
        }
        finally
        {
            volume.Copies.Remove(index);
            turn.SetResult(0);
        }
    }

    /// <summary>Runs work on a volume with its lock, not under its gate; false if another host has it, or has taken it from its users here, or it is gone.</summary>
    internal async ValueTask<bool> WithLockAsync(string name, Func<Volume, Task> work)
    {
        var volume = await Table.EnterAsync(name);
        bool isLocked = false;
        int term = 0;
        try
        {
            term = await LockAsync(volume);
            isLocked = true;
        }
        catch (ErrnoException other) when (other.Errno is Errno.EBUSY or Errno.ENOENT or Errno.ESTALE or Errno.EAGAIN)
        {
            return false;
        }
        finally
        {
            if (!isLocked) Table.Leave(volume);
        }

        volume.Gate.Exit();
        try
        {
            await work(volume);
        }
        finally
        {
            await volume.Gate.EnterAsync();
            await UnlockAsync(volume, orThrow: false, term);
            Table.Leave(volume);
        }

        return true;
    }

    internal ValueTask<(int Status, ulong Serviced)> DeleteUnownedAsync(byte[] name, bool isData) =>
        isData ? _data.RunAsync(XsegOp.Delete, _data.Flow, name) : _meta.RunAsync(XsegOp.Delete, _meta.Flow, name);

    /// <summary>
    /// Deletes a name that nobody has: it is given to nobody else meanwhile. The lock keeps other hosts away from it, the gate whoever makes a volume here, for whom the
    /// lock is his own: he would take the name over, and the deletion would be that of a volume's name.
    /// </summary>
    internal async ValueTask<bool> DropNameAsync(string name, byte[] sector)
    {
        var volume = await Table.EnterAsync(name);
        try
        {
            return await DropNameAloneAsync(name, sector);
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>
    /// The same, under the gate of the name. The deletion is of a flow that is bound to the lock: a host that hangs before it for longer than the lease, and wakes when another one
    /// has taken the name over, is refused by the blocker.
    /// </summary>
    private async ValueTask<bool> DropNameAloneAsync(string name, byte[] sector)
    {
        // They share the flow.
        await _droppingNames.EnterAsync();
        ulong id = NewId();
        try
        {
            // A full store has no room for a lock; nobody misses those few bytes.
            if (await BindNameFlowAsync(id) is not { } flow) return false;
            int status = await _meta.SwapAsync(VolumeName.ObjectOf(name), 0, sector, NameRecord.ToSector(id, name, isDropped: true));
            bool isOurs = status == 0;
            if (isOurs) (status, _) = await _meta.RunAsync(XsegOp.Delete, flow, VolumeName.ObjectOf(name));
            // The lock, too, is another's then, or the collector's.
            if (status == Errno.ESTALE) return false;
            if (isOurs && status is not (0 or Errno.ENOENT)) throw new ErrnoException(status, $"object n.{name}, which no volume has, cannot be deleted: {Errno.Describe(status)}; `archipelago volume gc` deletes it");
            await _store.DeleteAsync(VolumeLocks.ObjectOf(id));
            return isOurs;
        }
        finally
        {
            _locks.Forget(id);
            _droppingNames.Exit();
            Flows.Remove([NameFlow]);
        }
    }

    /// <summary>The flow of deletions of names, bound to a lock that was taken for one; null if there is none to be had.</summary>
    private async ValueTask<uint?> BindNameFlowAsync(ulong id)
    {
        try
        {
            uint flow = await Flows.FindOrAddAsync(NameFlow, -1);
            await _locks.BindAsync(id, flow);
            return flow;
        }
        catch (ErrnoException later)
        {
            _context.Log.LogDebug("no name is dropped now: {Error}", later.Message);
            return null;
        }
    }

    /// <summary>Deletes the lock of a volume that does not exist; false if somebody holds it.</summary>
    internal async ValueTask<bool> DropLockAsync(ulong id)
    {
        if (IsBusyHere(id)) return false;
        try
        {
            await _locks.HoldAsync(id);
        }
        catch (ErrnoException)
        {
            return false;
        }

        // Whoever makes a volume takes its lock first and lists it then.
        if (await Catalogue.FindAsync(id) != null || await _store.ReadRootAsync(id) != null)
        {
            await _locks.LetGoAsync(id);
            return false;
        }

        await _store.DeleteAsync(VolumeLocks.ObjectOf(id));
        _locks.Forget(id);
        return true;
    }
}
