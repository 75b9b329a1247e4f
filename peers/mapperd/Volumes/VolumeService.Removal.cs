using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Mapperd.Purging;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>Background removal of deleted volumes, and what a start finds half made or half deleted.</summary>
internal sealed partial class VolumeService
{
    private readonly HashSet<ulong> _removing = [];

    /// <summary>Looks for what was cut off: creations, deletions. What another host is at is left to it.</summary>
    /// <exception cref="ErrnoException">The store fails.</exception>
    internal async Task SettleAsync()
    {
        foreach (var entry in (await Catalogue.ReadAsync()).Where(entry => entry.Record.State != RecordState.Live))
        {
            if (IsStopping) return;
            try
            {
                await SettleAsync(entry);
            }
            catch (ErrnoException busy) when (busy.Errno is Errno.EBUSY or Errno.EAGAIN)
            {
                // Another host is at it.
            }
        }
    }

    private async ValueTask SettleAsync(Catalogue.Entry entry)
    {
        var record = entry.Record;
        if (IsBusyHere(record.Id)) return;
        await _locks.HoldAsync(record.Id);
        if (record.State == RecordState.Creating)
        {
            bool exists = await SettleCreationAsync(entry);
            _context.Log.LogInformation("volume {Volume}: its creation was cut off {Outcome}", record.Name, exists ? "after its commit: it exists" : "before its commit: it does not exist");
            if (exists) await _locks.LetGoAsync(record.Id);
        }
        else if (await _store.ReadRootAsync(record.Id) is { IsDeleted: false } root)
        {
            await ListAsync(entry, CatalogueRecord.Of(root, RecordState.Live));
            await _locks.LetGoAsync(record.Id);
        }
        else
        {
            StartRemoval(entry);
        }
    }

    private void StartRemoval(Catalogue.Entry entry)
    {
        if (!_removing.Add(entry.Record.Id)) return;
        Purges++;
        _ = RemovalLoopAsync(entry);
    }

    private async Task RemovalLoopAsync(Catalogue.Entry entry)
    {
        var record = entry.Record;
        await _context.Reactor.Delay(TimeSpan.Zero);
        for (var delay = FirstRetry; !IsStopping; delay = delay * 2 < LastRetry ? delay * 2 : LastRetry)
        {
            try
            {
                await _locks.HoldAsync(record.Id);
                if (await RemoveVolumeAsync(entry)) break;
            }
            catch (Exception later)
            {
                if (later is ErrnoException) _context.Log.LogWarning("volume {Volume}: what it left cannot be deleted: {Error}; next try in {Delay}", record.Name, later.Message, delay);
                else _context.Log.LogError(later, "volume {Volume}: its deletion ended in an error of our own; next try in {Delay}", record.Name, delay);
            }

            if (!IsStopping) await _context.Reactor.Delay(delay);
        }

        _removing.Remove(record.Id);
        Purges--;
        if (!IsStopping && record.BaseVolume != 0) await PurgeBaseAsync(record.BaseVolume);
    }

    /// <summary>Objects first, then what tells of them: each step may be repeated.</summary>
    private async Task<bool> RemoveVolumeAsync(Catalogue.Entry entry)
    {
        ulong id = entry.Record.Id;
        var volume = new Volume(entry.Record.Name, _context.Reactor);
        if (await _store.TryLoadAsync(volume, id))
        {
            var root = volume.Root!;
            if (!await PassAsync(await LeafAsync(volume, root.Parent, volume.Head, root.Size), (id, 0), () => false)) return false;
            await _store.DeleteAsync(MapDirectory.ObjectOf(id, root.Generation));
            // Who came from whom has the higher number: each is a leaf when its turn comes.
            foreach (var snapshot in volume.Snapshots.OrderByDescending(record => record.Number).ToArray())
            {
                if (!await PassAsync(await LeafAsync(volume, snapshot.Parent, await _store.MapOfAsync(root, snapshot), snapshot.Size), (id, snapshot.Number), () => false)) return false;
                await _store.DeleteAsync(MapDirectory.ObjectOf(id, snapshot.Generation));
                _maps.Remove((id, snapshot.Number));
            }

            await FreeNameAsync(root.Name, id);
            await _store.DeleteAsync(VolumeRoot.ObjectOf(id));
        }

        await _store.DeleteAsync(VolumeLocks.ObjectOf(id));
        if (await Catalogue.FindAsync(id) is { } now) await Catalogue.ReplaceAsync(now, null);
        // Nothing of the flow is cached any more, unless a new volume has the name.
        if (Table.Find(entry.Record.Name) == null && await _store.ResolveAsync(entry.Record.Name) == 0)
            FlowTable.Remove(_context.Segment, FlowTable.Find(_context.Segment, System.Text.Encoding.ASCII.GetBytes(entry.Record.Name)));
        return true;
    }

    private async ValueTask<Comparison> LeafAsync(Volume volume, ulong parent, VersionMap map, ulong size)
    {
        var neighbour = parent == 0 ? await BaseOfAsync(volume.Root!)
            : volume.Find(parent) is { } record ? await _store.MapOfAsync(volume.Root!, record) : null;
        return new Comparison(map, MapGeometry.ObjectsFor(size, volume.Root!.ObjectSize), neighbour == null ? [] : [neighbour]);
    }

    /// <summary>The snapshot that it was cloned from may have waited for this.</summary>
    private async Task PurgeBaseAsync(ulong id)
    {
        try
        {
            if (await _store.ReadRootAsync(id) is not { IsDeleted: false } root) return;
            var seen = await LookAsync(root.Name);
            if (seen.Root!.Id == id) StartPurge(seen);
        }
        catch (ErrnoException later)
        {
            _context.Log.LogWarning("{Error}", later.Message);
        }
    }
}
