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

                if (await MarkAsync(references, seen, isListed: entry != null)) break;
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
    private async ValueTask<bool> MarkAsync(References references, Volume seen, bool isListed)
    {
        var root = seen.Root!;
        if (!isListed && !root.IsDeleted && NameRecord.Read(await _store.ReadSectorAsync(VolumeName.ObjectOf(root.Name), root.Name), root.Name) == root.Id)
        {
            _context.Log.LogWarning("volume {Volume}: it was not in the catalogue, and is listed again", root.Name);
            await ListAsync(root);
        }

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

    /// <summary>The same, under the gate of the name.</summary>
    private async ValueTask<bool> DropNameAloneAsync(string name, byte[] sector)
    {
        ulong id = NewId();
        try
        {
            await _locks.HoldAsync(id);
        }
        catch (ErrnoException)
        {
            // A full store has no room for a lock; nobody misses those few bytes.
            return false;
        }

        int status = await _meta.SwapAsync(VolumeName.ObjectOf(name), 0, sector, NameRecord.ToSector(id, name));
        if (status == 0) await _store.DeleteAsync(VolumeName.ObjectOf(name));
        await _store.DeleteAsync(VolumeLocks.ObjectOf(id));
        _locks.Forget(id);
        return status == 0;
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
