using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>New volumes: record "creating", directory, root, then the name (the commit point), record "live".</summary>
internal sealed partial class VolumeService
{
    private const int MostNameTries = 20;

    private readonly HashSet<ulong> _making = [];

    /// <summary>Whether this mapperd is making a volume.</summary>
    internal bool IsMaking(ulong id) => _making.Contains(id);

    /// <summary>Creates a blank volume. <paramref name="identity"/> names the request, so that its replay after a crash is answered as it was.</summary>
    internal Task<VolumeRoot> CreateAsync(string name, ulong size, int objectSize, UInt128 identity)
    {
        if (objectSize == 0) objectSize = _options.ObjectSize;
        CheckObjectSize(name, objectSize);
        CheckSize(name, size, objectSize);
        return MakeAsync(name, size, objectSize, identity, null, null, null);
    }

    /// <summary>Creates a volume that begins as a snapshot is; <paramref name="size"/> 0 for its size.</summary>
    internal async Task<VolumeRoot> CloneAsync(string name, VolumeName from, ulong size, UInt128 identity)
    {
        if (from.Snapshot == null) throw new ErrnoException(Errno.EINVAL, $"volume {from} may change: only snapshots can be cloned; make one, `archipelago volume snapshot {from} NAME`");
        var source = await LookAsync(from.Volume);
        var snapshot = source.Find(from.Snapshot) ?? throw NoSnapshot(from);
        int objectSize = source.Root!.ObjectSize;
        if (size == 0) size = snapshot.Size;
        CheckSize(name, size, objectSize);
        if (size < snapshot.Size) throw new ErrnoException(Errno.EINVAL, $"volume {name}: {size} bytes are less than those of {from}, {snapshot.Size}; clone it, then shrink the clone");
        var map = await _store.MapOfAsync(source.Root, snapshot);
        return await MakeAsync(name, size, objectSize, identity, source.Root, snapshot, map.Directory);
    }

    private async Task<VolumeRoot> MakeAsync(
        string name, ulong size, int objectSize, UInt128 identity, VolumeRoot? baseRoot, SnapshotRecord? baseSnapshot, MapDirectory? from, Assembly? assembly = null)
    {
        var volume = await Table.EnterAsync(name);
        ulong id = NewId();
        try
        {
            var (nameSector, existing) = await LookUpNameAsync(name);
            if (existing != null && identity != 0 && existing.CreatedBy == identity)
            {
                // A replay, cut off behind the commit: whoever lists the volumes now is to find it.
                await ListAsync(existing);
                return existing;
            }

            if (existing != null) throw new ErrnoException(Errno.EEXIST, $"volume {name} exists already; choose another name, or rename or delete that one");
            if (assembly != null) await assembly.CheckSourcesAsync();
            var root = new VolumeRoot
            {
                Id = id,
                Name = name,
                Size = size,
                ObjectSize = objectSize,
                Layer = NewLayer(),
                Generation = NewId(),
                BaseVolume = baseRoot?.Id ?? 0,
                BaseSnapshot = baseSnapshot?.Number ?? 0,
                Created = NowUnix(),
                CreatedBy = identity,
            };
            // While it is being made it is locked: who finds its record elsewhere knows that somebody is at it.
            _making.Add(root.Id);
            await _locks.HoldAsync(root.Id);
            var entry = await Catalogue.AddAsync(CatalogueRecord.Of(root, RecordState.Creating));
            try
            {
                if (baseSnapshot != null) await StillThereAsync(baseRoot!, baseSnapshot);
                var directory = MapDirectory.Make(root.Id, root.Generation, ChunksOf(size, objectSize), from, root.Layer);
                await directory.SaveAsync(_meta);
                await SwapAsync(VolumeRoot.ObjectOf(root.Id), new byte[Sector.Bytes], root.ToSector(), name, Errno.EEXIST);
                if (assembly != null) await FillAsync(assembly, root, directory);
                await StillBeingMadeAsync(root, entry);
                await TakeNameAsync(name, nameSector, root.Id);
            }
            catch (ErrnoException)
            {
                bool isGone = await UnmakeAsync(root);
                if (isGone && assembly != null) await assembly.ClearAsync(root.Layer);
                throw;
            }

            try
            {
                await ListMadeAsync(entry, root);
            }
            finally
            {
                await _locks.LetGoAsync(root.Id);
            }

            return root;
        }
        finally
        {
            _making.Remove(id);
            Table.Leave(volume);
        }
    }

    /// <summary>
    /// With the header in the store, so that a collector knows the layer: by its directory, which is blank as yet, all in it may exist.
    /// </summary>
    private async ValueTask FillAsync(Assembly assembly, VolumeRoot root, MapDirectory directory)
    {
        await assembly.FillAsync(root, directory);
        // It may have taken longer than a lease of a host that hung.
        if (await _store.ReadRootAsync(root.Id) == null)
            throw new ErrnoException(Errno.ESTALE, $"volume {root.Name} was not created: another host took this one for dead meanwhile, and has removed it; do it again");
    }

    /// <summary>
    /// Another host may have taken it for cut off, and removed its record, before its root was there: with a name it would be a clone that no record tells of. Who does that when the root is
    /// there deletes the root, and a name without one is free.
    /// </summary>
    private async ValueTask StillBeingMadeAsync(VolumeRoot root, Catalogue.Entry entry)
    {
        if (!await Catalogue.IsUnchangedAsync(entry)) throw TookTooLong(root);
    }

    private static ErrnoException TookTooLong(VolumeRoot root) =>
        new(Errno.EAGAIN, $"volume {root.Name}: making it took longer than the lease of its lock, and another host has removed it; try again");

    /// <summary>Whether this mapperd is at a volume: the lock is the segment's, so that it does not keep its own requests apart.</summary>
    private bool IsBusyHere(ulong id) => _making.Contains(id) || _removing.Contains(id) || Table.All.Any(volume => volume.IsLocked && volume.Root?.Id == id);

    /// <summary>The name's sector as it is, and the volume that has the name, if one does.</summary>
    private async ValueTask<(byte[] Sector, VolumeRoot? Existing)> LookUpNameAsync(string name, int tries = 0)
    {
        var sector = await _store.ReadSectorAsync(VolumeName.ObjectOf(name), $"volume {name}");
        ulong id = NameRecord.Read(sector, name);
        if (id == 0) return (sector, null);
        var root = await _store.ReadRootAsync(id);
        if (root is { IsDeleted: false } && root.Name == name) return (sector, root);
        // Named so by a rename that was cut off, or that goes on, or the collector is about to delete the name: with the lock nobody is at it.
        // If it is this mapperd that renames to it, it has the gate of this name, too.
        try
        {
            await _locks.HoldAsync(id);
        }
        catch (ErrnoException busy) when (busy.Errno == Errno.EBUSY && tries < MostNameTries)
        {
            // Another host is about to delete it: a matter of milliseconds.
            await _context.Reactor.Delay(TimeSpan.FromMilliseconds(100));
            return await LookUpNameAsync(name, tries + 1);
        }

        try
        {
            root = await _store.ReadRootAsync(id);
            return (sector, root is { IsDeleted: false } && root.Name == name ? root : null);
        }
        finally
        {
            await _locks.LetGoAsync(id);
        }
    }

    /// <summary>Gives a name that is free to a volume. The collector of another host may have deleted the name's object meanwhile: then it is free still.</summary>
    private async ValueTask TakeNameAsync(string name, byte[] sector, ulong id)
    {
        for (int tries = 0; ; tries++)
        {
            try
            {
                await SwapAsync(VolumeName.ObjectOf(name), sector, NameRecord.ToSector(id, name), name, Errno.EEXIST);
                return;
            }
            catch (ErrnoException lost) when (lost.Errno == Errno.EEXIST && tries < 10)
            {
                (sector, var existing) = await LookUpNameAsync(name);
                if (existing != null) throw;
            }
        }
    }

    /// <summary>Whoever deletes a snapshot, or its volume, marks it first and looks for clones then; a clone is recorded first and looks for the mark then.</summary>
    private async ValueTask StillThereAsync(VolumeRoot root, SnapshotRecord snapshot)
    {
        var seen = new Volume(root.Name, _context.Reactor);
        if (!await _store.TryLoadAsync(seen, root.Id) || seen.Root!.IsDeleted || seen.Find(snapshot.Number) is not { State: SnapshotState.Live })
            throw new ErrnoException(Errno.ENOENT, $"snapshot {root.Name}@{snapshot.Name} is being deleted");
        if (await Catalogue.FindAsync(root.Id) is { Record.State: RecordState.Deleting })
            throw new ErrnoException(Errno.ENOENT, $"volume {root.Name} is being deleted");
    }

    /// <summary>After a failure: nothing of the volume is left, unless the store fails in this too; then the next start does it. True if it is gone for sure.</summary>
    private async ValueTask<bool> UnmakeAsync(VolumeRoot root)
    {
        try
        {
            if (await Catalogue.FindAsync(root.Id) is not { } now)
            {
                await ForgetMadeAsync(root);
                await ForgetAsync(VolumeLocks.ObjectOf(root.Id));
                _locks.Forget(root.Id);
                return true;
            }

            if (!await SettleCreationAsync(now)) return true;
            await _locks.LetGoAsync(root.Id);
        }
        catch (ErrnoException later)
        {
            _context.Log.LogWarning("volume {Volume}: its creation failed; the clean-up will be tried again: {Error}", root.Name, later.Message);
            StartSettling();
        }

        return false;
    }

    /// <summary>With the lock of the volume: what a creation that was cut off has left becomes a volume, if its name names it, or nothing. True if a volume.</summary>
    private async ValueTask<bool> SettleCreationAsync(Catalogue.Entry entry)
    {
        var record = entry.Record;
        // It may have been renamed since, under a record that nobody could put right.
        var sector = await _store.ReadSectorAsync(VolumeRoot.ObjectOf(record.Id), $"volume {record.Name}");
        var root = Sector.IsZero(sector) ? null : VolumeRoot.Read(sector, record.Id);
        bool exists = root is { IsDeleted: false } && NameRecord.Read(await _store.ReadSectorAsync(VolumeName.ObjectOf(root.Name), $"volume {root.Name}"), root.Name) == record.Id;
        // Whoever makes it may only have been slow, for longer than its lease: it looks for this mark when it has committed, as we look for its name then.
        if (!exists && record.State == RecordState.Creating)
            return await SettleCreationAsync(await Catalogue.ReplaceAsync(entry, record with { State = RecordState.Deleting }));
        // So may whoever settles it have been: what it takes for cut off is open elsewhere by now. All change the root first, and only one can.
        if (root != null && record.State != RecordState.Creating)
        {
            int status = await _meta.SwapAsync(VolumeRoot.ObjectOf(root.Id), 0, sector, (root with { IsDeleted = !exists, Sequence = root.Sequence + 1 }).ToSector());
            if (status == Errno.EILSEQ) throw new ErrnoException(Errno.EAGAIN, $"volume {root.Name}: another host is at it, and sees whether its creation was cut off; look again in a while");
            if (status != 0) throw new ErrnoException(status, $"volume {root.Name}: its header, object v.{root.Id:x16}, cannot be written: {Errno.Describe(status)}");
        }

        if (exists)
        {
            await Catalogue.ReplaceAsync(entry, record.As(root!, RecordState.Live));
            return true;
        }

        // Without its root nothing tells the directory's name; then the collector removes it.
        if (root != null) await _store.DeleteAsync(MapDirectory.ObjectOf(record.Id, root.Generation));
        await _store.DeleteAsync(VolumeRoot.ObjectOf(record.Id));
        await _store.DeleteAsync(VolumeLocks.ObjectOf(record.Id));
        _locks.Forget(record.Id);
        await Catalogue.ReplaceAsync(entry, null);
        return false;
    }

    /// <summary>The record of a volume whose name is written. If another host took its making for cut off, it is a volume only if that host found its name.</summary>
    private async ValueTask ListMadeAsync(Catalogue.Entry entry, VolumeRoot root)
    {
        try
        {
            await Catalogue.ReplaceAsync(entry, CatalogueRecord.Of(root, RecordState.Live));
        }
        catch (ErrnoException changed) when (changed.Errno == Errno.EAGAIN)
        {
            for (int tries = 0; await Catalogue.FindAsync(root.Id) is var found; tries++)
            {
                if (found?.Record.State == RecordState.Live) return;
                if (found == null)
                {
                    // Without its record nothing keeps the snapshot that it would be a clone of: it must not exist.
                    await ForgetMadeAsync(root);
                    throw TookTooLong(root);
                }

                if (tries == 100)
                {
                    StartSettling();
                    throw new ErrnoException(Errno.EAGAIN, $"volume {root.Name}: making it took longer than the lease of its lock, and another host looks whether it was cut off; look again in a while");
                }

                await _context.Reactor.Delay(TimeSpan.FromMilliseconds(100));
            }
        }
        catch (ErrnoException later)
        {
            _context.Log.LogWarning("{Error}; the list will be put right", later.Message);
            StartSettling();
        }
    }

    /// <summary>What was made of a volume whose record another host has removed.</summary>
    private async ValueTask ForgetMadeAsync(VolumeRoot root)
    {
        await FreeNameAsync(root.Name, root.Id);
        await ForgetAsync(MapDirectory.ObjectOf(root.Id, root.Generation));
        await ForgetAsync(VolumeRoot.ObjectOf(root.Id));
    }

    /// <summary>
    /// The record says what the root says. If it was lost others may have been lost with it, those of clones too: it is written again, but does not count as if it told that
    /// there are none. Only of a volume that never had a snapshot there can be none.
    /// </summary>
    private async ValueTask ListAsync(VolumeRoot root)
    {
        try
        {
            if (await Catalogue.FindAsync(root.Id) is not { } entry)
                await Catalogue.AddAsync(CatalogueRecord.Of(root, RecordState.Live) with { IsAlone = root.NextSnapshot > 1 });
            else if (entry.Record.As(root, RecordState.Live) is var record && record != entry.Record)
                await Catalogue.ReplaceAsync(entry, record);
        }
        catch (ErrnoException later)
        {
            _context.Log.LogWarning("volume {Volume}: {Error}; the list will be put right", root.Name, later.Message);
            StartSettling();
        }
    }

    /// <summary>A volume whose record is damaged is listed again.</summary>
    private async ValueTask ListAgainAsync(VolumeRoot root)
    {
        if (Catalogue.Damaged.Count > 0) await ListAsync(root);
    }

    private async ValueTask SwapAsync(byte[] name, byte[] from, byte[] to, string volume, int otherwise)
    {
        int status = await _meta.SwapAsync(name, 0, from, to);
        if (status == Errno.EILSEQ) throw new ErrnoException(otherwise, $"volume {volume}: somebody else has made one of this name at the same time");
        if (status != 0) throw new ErrnoException(status, $"volume {volume}: object {System.Text.Encoding.ASCII.GetString(name)} cannot be written: {Errno.Describe(status)}");
    }

    private static void CheckObjectSize(string name, int objectSize)
    {
        if (!MapperdOptions.IsObjectSize(objectSize)) throw new ErrnoException(Errno.EINVAL, $"volume {name}: object size {objectSize}: expected a power of two from 4096 to 4194304");
    }

    private static void CheckSize(string name, ulong size, int objectSize)
    {
        if (MapGeometry.SizeFault(size, objectSize) is { } fault)
            throw new ErrnoException(size != 0 && size % 512 == 0 ? Errno.EFBIG : Errno.EINVAL, $"volume {name}: {fault}");
    }

    internal static ErrnoException NoSnapshot(VolumeName name) => new(Errno.ENOENT, $"there is no snapshot {name}; `archipelago volume info {name.Volume}` shows which there are");
}
