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

    private bool _isSettling, _settleAgain;

    /// <summary>Looks in the background for what was cut off, at a start and after a change that failed, until that was seen to.</summary>
    internal void StartSettling()
    {
        (IsSettled, _settleAgain) = (false, true);
        if (_isSettling) return;
        _isSettling = true;
        _ = SettleLoopAsync();
    }

    private async Task SettleLoopAsync()
    {
        long busySince = 0;
        for (var delay = _options.FirstRetry; !IsStopping && !IsSettled;)
        {
            try
            {
                // Whoever failed gives its locks back first.
                await _context.Reactor.Delay(TimeSpan.Zero);
                _settleAgain = false;
                bool isBusy = await SettleAsync();
                // What another host is at is left to it, unless that is dead.
                if (!isBusy) busySince = 0;
                IsSettled = !_settleAgain && (!isBusy || IsOfTheLiving(ref busySince));
                if (IsSettled || _settleAgain) continue;
            }
            catch (Exception fault)
            {
                _context.Log.LogError(fault is ErrnoException ? null : fault, "what was cut off cannot be put right: {Error}; next try in {Delay}", fault.Message, delay);
            }

            await RestAsync(delay);
            delay = delay * 2 < LastRetry ? delay * 2 : LastRetry;
        }

        _isSettling = false;
    }

    /// <summary>Looks for what was cut off: creations, deletions of volumes and of snapshots, renames. True if another host is at some of it.</summary>
    /// <exception cref="ErrnoException">The store fails.</exception>
    private async Task<bool> SettleAsync()
    {
        ErrnoException? failed = null;
        bool isBusy = false;
        foreach (var entry in await Catalogue.ReadAsync())
        {
            if (IsStopping) return false;
            try
            {
                if (entry.Record.State == RecordState.Live) await SettleLiveAsync(entry);
                else await SettleAsync(entry);
            }
            catch (ErrnoException busy) when (busy.Errno is Errno.EBUSY or Errno.EAGAIN)
            {
                isBusy = true;
            }
            catch (ErrnoException fault)
            {
                // One that is damaged does not keep the others from being settled.
                failed = fault;
            }
        }

        return failed == null ? isBusy : throw failed;
    }

    /// <summary>Goes on with the removal of its snapshots; the record as the root says. It was read before the root: if somebody has changed it since, that is as good.</summary>
    private async ValueTask SettleLiveAsync(Catalogue.Entry entry)
    {
        if (await _store.ReadRootAsync(entry.Record.Id) is not { IsDeleted: false } root) return;
        if (entry.Record.As(root, RecordState.Live) is var record && record != entry.Record) await Catalogue.ReplaceAsync(entry, record);
        if (root.Slots == 0) return;
        var seen = new Volume(root.Name, _context.Reactor);
        if (await _store.TryLoadAsync(seen, root.Id)) StartPurge(seen);
    }

    private async ValueTask SettleAsync(Catalogue.Entry entry)
    {
        ulong id = entry.Record.Id;
        if (_removing.Contains(id) || _making.Contains(id)) return;
        // Whoever makes or deletes it here has the gate.
        var volume = await Table.EnterAsync(entry.Record.Name);
        try
        {
            await _locks.HoldAsync(id);
            bool isKept = true;
            try
            {
                isKept = !await SettleHeldAsync(entry);
            }
            finally
            {
                if (isKept)
                {
                    await _locks.LetGoAsync(id);
                    await DropLockOfGoneAsync(entry.Record.Name, id);
                }
            }
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>With its lock, which is not needed any more if this is true, or which the removal has.</summary>
    private async ValueTask<bool> SettleHeldAsync(Catalogue.Entry entry)
    {
        var record = entry.Record;
        // What it was when the catalogue was read may be done.
        if (await Catalogue.FindAsync(record.Id) is not { } now || now.Record != record) return false;
        if (record.State == RecordState.Creating)
        {
            bool exists = await SettleCreationAsync(entry);
            _context.Log.LogInformation("volume {Volume}: its creation was cut off {Outcome}", record.Name, exists ? "after its commit: it exists" : "before its commit: it does not exist");
            return !exists;
        }

        if (await _store.ReadRootAsync(record.Id) is { IsDeleted: false } root)
        {
            // A creation that was being undone: nobody has locked it since. Else a deletion that was not committed.
            if (root.Epoch == 0) return !await SettleCreationAsync(entry);
            await Catalogue.ReplaceAsync(entry, record.As(root, RecordState.Live));
            return false;
        }

        StartRemoval(entry, isHeld: true);
        return true;
    }

    /// <summary>
    /// Deletes the lock of a volume that another host had removed altogether when it was taken here, which made it anew: nobody else would but the collector. A volume that
    /// is being made has none to read yet, but a record that says so.
    /// </summary>
    private async ValueTask DropLockOfGoneAsync(string name, ulong id)
    {
        try
        {
            if (await _store.ReadRootAsync(id) != null || await _store.ResolveAsync(name) == id || await Catalogue.FindAsync(id) is { Record.State: not RecordState.Deleting }) return;
            await _store.DeleteAsync(VolumeLocks.ObjectOf(id));
        }
        catch (ErrnoException later)
        {
            _context.Log.LogDebug("volume {Volume} is gone, and its lock is left: {Error}", name, later.Message);
        }
    }

    private void StartRemoval(Catalogue.Entry entry, bool isHeld)
    {
        if (!_removing.Add(entry.Record.Id)) return;
        Purges++;
        _ = RemovalLoopAsync(entry, isHeld);
    }

    private async Task RemovalLoopAsync(Catalogue.Entry entry, bool isHeld)
    {
        var record = entry.Record;
        await _context.Reactor.Delay(TimeSpan.Zero);
        for (var delay = _options.FirstRetry; !IsStopping; delay = delay * 2 < LastRetry ? delay * 2 : LastRetry)
        {
            try
            {
                if (!isHeld) await _locks.HoldAsync(record.Id);
                isHeld = true;
                if (await RemoveVolumeAsync(entry)) break;
            }
            catch (Exception later)
            {
                if (later is ErrnoException) _context.Log.LogWarning("volume {Volume}: what it left cannot be deleted: {Error}; next try in {Delay}", record.Name, later.Message, delay);
                else _context.Log.LogError(later, "volume {Volume}: its deletion ended in an error of our own; next try in {Delay}", record.Name, delay);
            }

            await RestAsync(delay);
        }

        _removing.Remove(record.Id);
        if (!IsStopping && record.BaseVolume != 0) await PurgeBaseAsync(record.BaseVolume);
        Purges--;
    }

    /// <summary>Objects first, then what tells of them: each step may be repeated.</summary>
    private async Task<bool> RemoveVolumeAsync(Catalogue.Entry entry)
    {
        ulong id = entry.Record.Id;
        await _locks.DropDeletedAsync(entry.Record.Name, id);
        var volume = new Volume(entry.Record.Name, _context.Reactor);
        // A clone that is being removed, too, is compared with what it came from.
        while (ClonesOf(entry.Record, await Catalogue.ReadAsync()) is { Length: > 0 } clones)
        {
            if (!clones.Any(_removing.Contains)) return false;
            while (clones.Any(_removing.Contains) && !IsStopping) await RestAsync(TimeSpan.FromMilliseconds(20));
            if (IsStopping) return false;
        }

        // What an unfinished removal of a snapshot had been compared with is not what it is compared with here.
        ForgetCursors(id);
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
        _locks.Forget(id);
        if (await Catalogue.FindAsync(id) is { } now) await Catalogue.ReplaceAsync(now, null);
        // Unless a new volume has the name.
        if (Table.Find(entry.Record.Name) == null && await _store.ResolveAsync(entry.Record.Name) == 0) Flows.Remove(FlowNames(entry.Record.Name, volume.Snapshots));
        StartDroppingName(entry.Record.Name);
        return true;
    }

    /// <summary>The clones of a volume, by the catalogue. Of volumes that are clones of each other, which only a damaged one says, none waits for the other.</summary>
    private static ulong[] ClonesOf(CatalogueRecord record, List<Catalogue.Entry> entries)
    {
        var above = new HashSet<ulong> { record.Id };
        for (ulong at = record.BaseVolume; at != 0 && above.Add(at);) at = entries.Find(entry => entry.Record.Id == at)?.Record.BaseVolume ?? 0;
        return [.. entries.Select(entry => entry.Record).Where(other => other.BaseVolume == record.Id && !above.Contains(other.Id)).Select(other => other.Id)];
    }

    private async ValueTask<Comparison> LeafAsync(Volume volume, ulong parent, VersionMap map, ulong size)
    {
        // If the record of what it came from is damaged: what it shares with another volume is what that one was cloned with.
        var neighbour = volume.Find(parent) is { } record ? await _store.MapOfAsync(volume.Root!, record) : await BaseOfAsync(volume.Root!);
        return new Comparison(map, MapGeometry.ObjectsFor(size, volume.Root!.ObjectSize), neighbour == null ? [] : [neighbour]);
    }

    /// <summary>The flows that a volume may have: its own, its readers', its snapshots'.</summary>
    private static IEnumerable<string> FlowNames(string name, IEnumerable<SnapshotRecord> snapshots) =>
        [name, name + "@", .. snapshots.Where(snapshot => snapshot.Name.Length > 0).Select(snapshot => $"{name}@{snapshot.Name}")];

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
