using Archipelago.Mapperd.Checking;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Mapperd.Volumes;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Purging;

/// <summary>The second half of a collection: goes over what the store held and removes what nothing refers to.</summary>
internal sealed class Sweep(VolumeService volumes, Inventory found, References references, HashSet<ulong> listed, bool dryRun, Action<string, long>? progress)
{
    private readonly List<string> _skipped = [];
    private long _unreferenced, _removed;

    internal async Task<Collection> RunAsync()
    {
        foreach (var (layer, objects) in found.Data) await LayerAsync(layer, objects, references.DataOf(layer), isData: true);
        foreach (var (layer, chunks) in found.Chunks) await LayerAsync(layer, chunks, references.ChunksOf(layer), isData: false);
        foreach (ulong id in found.Roots.Where(id => !listed.Contains(id))) await RootAsync(id);
        await DirectoriesAsync();
        foreach (ulong id in found.Locks.Where(id => !listed.Contains(id) && !found.Roots.Contains(id))) await CountAsync(() => volumes.DropLockAsync(id));
        foreach (string name in found.Names) await NameAsync(name);
        return new Collection(found.Count, _unreferenced, _removed, found.Foreign, _skipped);
    }

    private async ValueTask LayerAsync(ulong layer, IndexSet there, IndexSet? referred, bool isData)
    {
        var orphans = there.Except(referred).ToArray();
        if (orphans.Length == 0 || volumes.IsStopping) return;
        if (!references.OwnLayers.TryGetValue(layer, out string? volume))
        {
            foreach (ulong index in orphans) await DeleteAsync(isData ? LayerName.Data(layer, index) : LayerName.Chunk(layer, (int)index), isData);
            return;
        }

        // A chunk that was written before the directory named it is written over by the next change.
        if (!isData) return;
        bool had = await volumes.WithLockAsync(volume, async locked =>
        {
            foreach (ulong index in orphans) await CountAsync(() => volumes.DropOrphanAsync(locked, layer, index, dryRun), always: true);
        });
        if (!had) _skipped.Add($"{orphans.Length} objects that volume {volume} may be copying: it is open on another host; collect there");
    }

    /// <summary>A root without a record is that of a volume that was being removed, or never came to be; or the catalogue has lost it.</summary>
    private async ValueTask RootAsync(ulong id)
    {
        if (await volumes.Store.ReadRootAsync(id) is not { } root) return;
        if (!root.IsDeleted && await volumes.Store.ResolveAsync(root.Name) == id) return;
        await CountAsync(() => volumes.DropRootAsync(root));
    }

    private async ValueTask DirectoriesAsync()
    {
        foreach (var ofVolume in found.Directories.GroupBy(directory => directory.Volume))
        {
            if (!listed.Contains(ofVolume.Key) && !found.Roots.Contains(ofVolume.Key))
            {
                foreach (var (id, generation) in ofVolume) await DeleteAsync(MapDirectory.ObjectOf(id, generation), isData: false);
                continue;
            }

            // One that is being made keeps its gate until it is.
            if (volumes.IsMaking(ofVolume.Key) || await volumes.Store.ReadRootAsync(ofVolume.Key) is not { IsDeleted: false } root) continue;
            bool had = await volumes.WithLockAsync(root.Name, async locked =>
            {
                // The snapshot whose record is damaged has one of them.
                if (locked.Faults.Count > 0) return;
                foreach (var (id, generation) in ofVolume)
                    if (locked.Root?.Id == ofVolume.Key && !locked.IsRebuilding && !locked.IsReloading && locked.Root.Generation != generation && !locked.Snapshots.Any(snapshot => snapshot.Generation == generation))
                        await DeleteAsync(MapDirectory.ObjectOf(id, generation), isData: false);
            });
            if (!had && ofVolume.Count() > 1) _skipped.Add($"directories of volume {root.Name}: it is open on another host; collect there");
        }
    }

    private async ValueTask NameAsync(string name)
    {
        var sector = await volumes.Store.ReadSectorAsync(VolumeName.ObjectOf(name), $"name {name}");
        ulong id;
        try
        {
            id = NameRecord.Read(sector, name);
        }
        catch (ErrnoException damaged)
        {
            _skipped.Add($"{damaged.Message}; `archipelago volume fsck` says what to do");
            return;
        }

        var root = id == 0 ? null : await RootOfAsync(id);
        if (id == 0 || (root == null && !listed.Contains(id))) await CountAsync(() => volumes.DropNameAsync(name, sector));
        // Of a volume that there is its own changes put the name right, unless one was cut off.
        else if (root != null && NameCheck.Compare(name, root) is { } stale) await FreeStaleAsync(name, stale);
    }

    /// <summary>The header of a volume; null if there is none, or one of a volume that the catalogue lists is damaged.</summary>
    private async ValueTask<VolumeRoot?> RootOfAsync(ulong id)
    {
        try
        {
            return await volumes.Store.ReadRootAsync(id);
        }
        catch (ErrnoException damaged) when (listed.Contains(id) && damaged.Errno is (Errno.EPROTO or Errno.EIO))
        {
            return null;
        }
    }

    private async ValueTask FreeStaleAsync(string name, Finding stale)
    {
        try
        {
            await CountAsync(() => volumes.RepairAsync(stale));
        }
        catch (ErrnoException busy) when (busy.Errno is Errno.EBUSY or Errno.EAGAIN)
        {
            _skipped.Add($"name {name}: another host is at volume {stale.Volume}; collect there");
        }
    }

    private async ValueTask DeleteAsync(byte[] name, bool isData)
    {
        _unreferenced++;
        if (dryRun || volumes.IsStopping) return;
        var (status, _) = await volumes.DeleteUnownedAsync(name, isData);
        if (status is not (0 or Errno.ENOENT)) throw new ErrnoException(status, $"object {System.Text.Encoding.ASCII.GetString(name)} cannot be removed: {Errno.Describe(status)}; {_removed} were");
        Removed();
    }

    private async ValueTask CountAsync(Func<ValueTask<bool>> remove, bool always = false)
    {
        if (volumes.IsStopping) return;
        if (dryRun && !always)
        {
            _unreferenced++;
            return;
        }

        if (!await remove()) return;
        _unreferenced++;
        if (!dryRun) Removed();
    }

    private void Removed()
    {
        _removed++;
        progress?.Invoke("removing", _removed);
    }
}
