using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Mapperd.Purging;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>Background removal of snapshots: what only they refer to, then their place in the tree, then their directory and record.</summary>
internal sealed partial class VolumeService
{
    private const int PacedDeletes = 2;
    private static readonly TimeSpan LastRetry = TimeSpan.FromMinutes(1);
    /// <summary>How long a purge keeps a volume from other hosts at a time.</summary>
    private static readonly TimeSpan Slice = TimeSpan.FromSeconds(2);

    private readonly HashSet<string> _purging = new(StringComparer.Ordinal);
    private readonly Dictionary<(ulong Volume, ulong Number), int> _cursors = [];

    /// <summary>Removals that go on in the background.</summary>
    internal int Purges { get; private set; }

    /// <summary>What of a volume is being removed; null for nothing.</summary>
    internal RemovalInfo? RemovalOf(Volume volume)
    {
        var going = volume.Snapshots.Where(record => record.State == SnapshotState.Deleting).ToArray();
        if (going.Length == 0) return null;
        var now = going.FirstOrDefault(record => _cursors.ContainsKey((volume.Root!.Id, record.Number)));
        return new RemovalInfo(going.Length, now == null ? null : new WorkDone((ulong)_cursors[(volume.Root!.Id, now.Number)], (ulong)ChunksOf(now.Size, volume.Root.ObjectSize)));
    }

    /// <summary>The same of a volume that is deleted: its head first, then its snapshots. Only the host that does it knows.</summary>
    internal RemovalInfo? RemovalOf(CatalogueRecord record)
    {
        if (!_removing.Contains(record.Id)) return null;
        int chunks = ChunksOf(record.Size, record.ObjectSize);
        // A snapshot may be longer than the volume was in the end.
        var work = _cursors.Where(cursor => cursor.Key.Volume == record.Id).Select(cursor => new WorkDone((ulong)cursor.Value, (ulong)Math.Max(chunks, cursor.Value))).FirstOrDefault();
        return new RemovalInfo(1, work);
    }

    private void StartPurge(Volume volume)
    {
        if (!volume.Snapshots.Any(record => record.State != SnapshotState.Live) || !_purging.Add(volume.Name)) return;
        Purges++;
        _ = PurgeLoopAsync(volume.Name);
    }

    private async Task PurgeLoopAsync(string name)
    {
        // Whoever began this goes on with its own work first.
        await _context.Reactor.Delay(TimeSpan.Zero);
        long busySince = 0;
        for (var delay = _options.FirstRetry; !IsStopping;)
        {
            try
            {
                if (await PurgeOneAsync(name) is not { } rest) break;
                (delay, busySince) = (_options.FirstRetry, 0);
                await RestAsync(rest);
                continue;
            }
            catch (ErrnoException gone) when (gone.Errno == Errno.ENOENT)
            {
                break;
            }
            catch (ErrnoException busy) when (busy.Errno == Errno.EBUSY)
            {
                // The host that has it goes on with it, unless it is dead.
                if (IsOfTheLiving(ref busySince)) break;
            }
            catch (Exception later)
            {
                if (later is not ErrnoException) _context.Log.LogError(later, "volume {Volume}: removing a snapshot ended in an error of our own", name);
                else _context.Log.LogWarning("volume {Volume}: what a snapshot left cannot be deleted: {Error}; next try in {Delay}", name, later.Message, delay);
            }

            await RestAsync(delay);
            delay = delay * 2 < LastRetry ? delay * 2 : LastRetry;
        }

        _purging.Remove(name);
        Purges--;
    }

    /// <summary>
    /// True when a lock has been another host's for so long that it is alive: of a dead one it would have been broken, also if the blocker, which watches it, had to begin
    /// again in between.
    /// </summary>
    private bool IsOfTheLiving(ref long busySince)
    {
        long now = _context.Reactor.Now;
        if (busySince == 0) busySince = now;
        return now - busySince > 4 * _options.Lease.Ticks * 100;
    }

    /// <summary>Removes one snapshot, or goes on with it for a while; how long to rest then. Null: nothing is left that can be removed now.</summary>
    private async Task<TimeSpan?> PurgeOneAsync(string name)
    {
        Comparison comparison;
        SnapshotRecord victim;
        var volume = await Table.EnterAsync(name);
        bool goesOn = false;
        int term;
        try
        {
            term = await LockAsync(volume);
            try
            {
                if (await NextVictimAsync(volume) is not { } next) return null;
                victim = next;
                comparison = await CompareAsync(volume, victim);
                volume.IsPurging = goesOn = true;
                volume.PurgeVictim = victim.State == SnapshotState.Deleting ? victim.Number : 0;
                volume.LeftToVictim.Clear();
                volume.ChunksLeftToVictim.Clear();
            }
            finally
            {
                if (!goesOn) await UnlockAsync(volume, orThrow: false);
            }
        }
        finally
        {
            // Its entry in the table stays: it is this volume, and no other that has the name by then, that is left in the end.
            if (goesOn) volume.Gate.Exit();
            else Table.Leave(volume);
        }

        ulong id = volume.Root!.Id;
        bool isDone = false;
        try
        {
            isDone = victim.State == SnapshotState.Purged || await PassAsync(comparison, (id, victim.Number), () => !volume.IsOpen, () => volume.IsWanted);
        }
        finally
        {
            // What the head has left meanwhile may lie behind the cursor.
            if (!isDone && volume.LeftToVictim.Count > 0) ForgetCursors(id);
            await volume.Gate.EnterAsync();
            try
            {
                // Under another term another host may have changed what it was compared with.
                isDone &= term == volume.LockTerm;
                if (isDone) await RemoveAsync(volume, victim);
            }
            finally
            {
                (volume.IsPurging, volume.PurgeVictim) = (false, 0);
                await UnlockAsync(volume, orThrow: false, term);
                Table.Leave(volume);
            }
        }

        return isDone ? TimeSpan.Zero : Slice / 2;
    }

    /// <summary>A snapshot that is to be deleted, that no clone needs, and that at most one other version has come from: others keep their place in the tree.</summary>
    private async ValueTask<SnapshotRecord?> NextVictimAsync(Volume volume)
    {
        // Where a record is damaged nobody knows what it refers to, and who has come from whom.
        if (volume.Faults.Count > 0) return null;
        if (volume.Snapshots.FirstOrDefault(record => record.State == SnapshotState.Purged) is { } purged) return purged;
        var candidates = volume.Snapshots.Where(record => record.State == SnapshotState.Deleting && volume.ChildrenOf(record.Number).Count() <= 1).ToArray();
        if (candidates.Length == 0) return null;
        var entries = await Catalogue.ReadAsync();
        if (Catalogue.FaultFor(volume.Root!, entries) is { } fault)
        {
            _context.Log.LogWarning("volume {Volume}: no snapshot is removed, as nobody knows whether it has clones, for {Fault}", volume.Name, fault);
            return null;
        }

        var clones = entries.Where(entry => entry.Record.BaseVolume == volume.Root!.Id).Select(entry => entry.Record.BaseSnapshot).ToHashSet();
        return Array.Find(candidates, record => !clones.Contains(record.Number));
    }

    private async ValueTask<Comparison> CompareAsync(Volume volume, SnapshotRecord victim)
    {
        var root = volume.Root!;
        var neighbours = new List<VersionMap>();
        if (await ParentOfAsync(volume, victim.Parent) is { } parent) neighbours.Add(parent);
        foreach (var child in volume.ChildrenOf(victim.Number)) neighbours.Add(child == null ? volume.Head : await CachedMapAsync(root, child));
        return new Comparison(await CachedMapAsync(root, victim), MapGeometry.ObjectsFor(victim.Size, root.ObjectSize), neighbours);
    }

    /// <summary>Deletes what is the version's alone, resting three times as long as it works; false if it should go on later.</summary>
    private async ValueTask<bool> PassAsync(Comparison comparison, (ulong, ulong) of, Func<bool> isSliced, Func<bool>? isWanted = null)
    {
        long until = _context.Reactor.Now + Slice.Ticks * 100;
        for (int chunk = _cursors.GetValueOrDefault(of); chunk < comparison.Chunks; chunk++)
        {
            if (IsStopping || isWanted?.Invoke() == true || (isSliced() && _context.Reactor.Now > until))
            {
                _cursors[of] = chunk;
                return false;
            }

            _cursors[of] = chunk;
            if (await DeleteObjectsAsync(await comparison.OwnObjectsAsync(chunk), isWanted)) continue;
            return false;
        }

        _cursors.Remove(of);
        // The map tells of the objects: it goes when they are gone for good.
        if (await _data.FlushAsync(_data.Flow) is var flushed and not 0) throw new ErrnoException(flushed, $"the deletions cannot be made stable: {Errno.Describe(flushed)}");
        for (int chunk = 0; chunk < comparison.Chunks; chunk++)
        {
            if (comparison.OwnChunk(chunk) is var layer and not 0) await DeleteChunkAsync(layer, chunk);
        }

        if (await _meta.FlushAsync(_meta.Flow) is var stable and not 0) throw new ErrnoException(stable, $"the deletions cannot be made stable: {Errno.Describe(stable)}");
        return true;
    }

    private void ForgetCursors(ulong volume)
    {
        foreach (var key in _cursors.Keys.Where(key => key.Volume == volume).ToArray()) _cursors.Remove(key);
    }

    /// <summary>Under the gate: who came from it comes from its parent now, then it is gone.</summary>
    private async ValueTask RemoveAsync(Volume volume, SnapshotRecord victim)
    {
        if (volume.Find(victim.Number) is not { State: SnapshotState.Deleting or SnapshotState.Purged } record || volume.ChildrenOf(victim.Number).Count() > 1) return;
        Comparison? comparison = null;
        if (record.State == SnapshotState.Deleting)
        {
            comparison = await CompareAsync(volume, record);
            if (!await DropLeftAsync(volume, comparison)) return;
            // From here on its place in the tree tells nothing any more about what it shares: it must not be compared again.
            record = record with { State = SnapshotState.Purged };
            await _store.PutSnapshotAsync(volume, volume.Slots.IndexOf(volume.Find(victim.Number)), record);
        }

        foreach (var child in volume.ChildrenOf(victim.Number).ToArray())
        {
            if (child != null) await _store.PutSnapshotAsync(volume, volume.Slots.IndexOf(child), child with { Parent = record.Parent });
            else await _store.CommitAsync(volume, volume.Root! with { Parent = record.Parent });
        }

        // What the head has left up to now it took to be this one's still.
        if (comparison != null && !await DropLeftAsync(volume, comparison)) return;
        await _store.DeleteAsync(MapDirectory.ObjectOf(volume.Root!.Id, record.Generation));
        await _store.PutSnapshotAsync(volume, volume.Slots.IndexOf(record), null);
        _maps.Remove((volume.Root.Id, record.Number));
        if (record.Name.Length > 0 && volume.Find(record.Name) == null) Flows.Remove([$"{volume.Name}@{record.Name}"]);
        _context.Log.LogInformation("volume {Volume}: snapshot {Number}{Name} is removed", volume.Name, record.Number, record.Name.Length > 0 ? " " + record.Name : ", which has no name,");
    }

    /// <summary>
    /// Deletes what the head has left to the snapshot since that was compared with it, and nobody else refers to; false if this is to end. The snapshot's own map may be gone.
    /// </summary>
    private async ValueTask<bool> DropLeftAsync(Volume volume, Comparison comparison)
    {
        foreach (var (layer, index) in volume.LeftToVictim.ToArray())
            if (!await comparison.IsSharedAsync(layer, index) && !await DeleteObjectsAsync([(layer, index)])) return false;
        foreach (var (layer, chunk) in volume.ChunksLeftToVictim.ToArray())
            if (!comparison.IsChunkShared(layer, chunk)) await DeleteChunkAsync(layer, chunk);
        return true;
    }

    private async ValueTask DeleteChunkAsync(ulong layer, int chunk)
    {
        var (status, _) = await _meta.RunAsync(XsegOp.Delete, _meta.Flow, LayerName.Chunk(layer, chunk));
        if (status is not (0 or Errno.ENOENT)) throw new ErrnoException(status, $"a chunk of a map cannot be deleted: {Errno.Describe(status)}");
        _store.Chunks.Forget(layer, chunk);
    }

    /// <summary>False if it was to end before it was done.</summary>
    private async ValueTask<bool> DeleteObjectsAsync(List<(ulong Layer, ulong Index)> objects, Func<bool>? isWanted = null)
    {
        int next = 0, error = 0;
        await Task.WhenAll(Enumerable.Range(0, Math.Min(PacedDeletes, objects.Count)).Select(_ => WorkAsync()));
        if (error != 0) throw new ErrnoException(error, $"objects that nobody refers to cannot be deleted: {Errno.Describe(error)}");
        return next >= objects.Count;

        async Task WorkAsync()
        {
            long started = _context.Reactor.Now;
            for (int done = 1; error == 0 && next < objects.Count && !IsStopping && isWanted?.Invoke() != true; done++)
            {
                var (layer, index) = objects[next++];
                var (status, _) = await _data.RunAsync(XsegOp.Delete, _data.Flow, LayerName.Data(layer, index));
                if (status is not (0 or Errno.ENOENT)) error = status;
                // Guests have the better right to the store; and where a deletion is a mere call the reactor has others to serve, too.
                if (done % 16 != 0) continue;
                await _context.Reactor.Delay(TimeSpan.FromTicks((_context.Reactor.Now - started) * 3 / 100));
                started = _context.Reactor.Now;
            }
        }
    }
}
