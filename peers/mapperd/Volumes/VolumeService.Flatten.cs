using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Volumes;

/// <summary>Independence of a clone from the snapshot that it came from: it gets a copy of all that it shares with it. Its user goes on meanwhile.</summary>
internal sealed partial class VolumeService
{
    /// <summary>Objects that flatten has looked at, and how many there are, by volume.</summary>
    internal Dictionary<string, (ulong Done, ulong Of)> Progress { get; } = new(StringComparer.Ordinal);

    /// <summary>Names of volumes whose flattening is to end before it is done.</summary>
    private readonly HashSet<string> _endingFlattens = new(StringComparer.Ordinal);

    /// <summary>Ends the flattening of a volume, if one goes on: it is refused with ECANCELED, and what was copied stays.</summary>
    internal void EndFlatten(string name)
    {
        if (Progress.ContainsKey(name)) _endingFlattens.Add(name);
    }

    /// <exception cref="ErrnoException">EBUSY: it has snapshots, which need the other volume too. ECANCELED: it was ended.</exception>
    internal async Task<VolumeRoot> FlattenAsync(string name)
    {
        var volume = await Table.EnterAsync(name);
        bool isLocked = false;
        int term = 0;
        ulong layer = 0;
        try
        {
            term = await LockPatientlyAsync(volume);
            layer = volume.Root!.Layer;
            isLocked = true;
        }
        finally
        {
            if (!isLocked) Table.Leave(volume);
        }

        // Only the beginning and the end are under the gate: who closes the volume does not wait for all of it.
        volume.Gate.Exit();
        ErrnoException? failed = null;
        try
        {
            await CopyBaseAsync(volume);
        }
        catch (ErrnoException fault)
        {
            failed = fault;
        }

        await volume.Gate.EnterAsync();
        try
        {
            if (failed != null) throw failed;
            // Done before, as of a replay: then the list may be out of date.
            if (volume.Root is { BaseVolume: 0 }) await ListAsync(volume.Root);
            if (volume.Root is not { BaseVolume: not 0 } root) return volume.Root ?? throw new ErrnoException(Errno.EAGAIN, $"volume {name}: its state is not known; do it again");
            if (volume.Snapshots.Any()) throw new ErrnoException(Errno.EBUSY, $"volume {name}: a snapshot was made meanwhile; delete it and do it again");
            // Another layer: it was rolled back, to a snapshot that is gone again, say, and may share anew what had been copied.
            if (root.Layer != layer || term != volume.LockTerm) throw new ErrnoException(Errno.EAGAIN, $"volume {name} was changed as a whole meanwhile; what was copied stays, do it again");
            await _store.CommitAsync(volume, root with { BaseVolume = 0, BaseSnapshot = 0 });
            await ListAsync(volume.Root!);
            if (root.BaseVolume != 0) await PurgeBaseAsync(root.BaseVolume);
            return volume.Root!;
        }
        finally
        {
            await UnlockAsync(volume, orThrow: false, term);
            Table.Leave(volume);
        }
    }

    private async Task CopyBaseAsync(Volume volume)
    {
        var root = volume.Root!;
        if (root.BaseVolume == 0) return;
        if (volume.Snapshots.Any())
            throw new ErrnoException(Errno.EBUSY, $"volume {volume.Name} has snapshots, which share with the other volume too; delete them first (`archipelago volume info {volume.Name}` tells when they are gone)");
        var from = (await BaseOfAsync(root))!;
        ulong objects = Math.Min(MapGeometry.ObjectsFor(root.Size, root.ObjectSize), (ulong)from.Directory.Chunks * MapGeometry.ChunkEntries), next = 0;
        int error = 0;
        Progress[volume.Name] = (0, objects);
        await Task.WhenAll(Enumerable.Range(0, _options.FanOut).Select(_ => WorkAsync()));
        Progress.Remove(volume.Name);
        if (_endingFlattens.Remove(volume.Name) && error == 0 && next < objects)
            throw new ErrnoException(Errno.ECANCELED, $"volume {volume.Name}: its flattening was ended at object {next} of {objects}; it still shares with the volume that it was cloned from, what was copied stays");
        if (error == 0 && IsStopping) error = Errno.ESHUTDOWN;
        if (error != 0) throw new ErrnoException(error, $"volume {volume.Name} still shares with the volume that it was cloned from: {Errno.Describe(error)}; what was copied stays, do it again{(error == Errno.EIO ? $" (if that does not help, `archipelago volume fsck {volume.Name}` shows what is damaged)" : "")}");

        async Task WorkAsync()
        {
            while (error == 0 && next < objects && !IsStopping && !_endingFlattens.Contains(volume.Name))
            {
                ulong index = next++;
                Progress[volume.Name] = (index, objects);
                try
                {
                    // Lost, or of a state that is not known.
                    if (!volume.IsLoaded)
                    {
                        error = Errno.EAGAIN;
                        break;
                    }

                    var entry = await volume.Head.FindAsync(index);
                    if (entry.IsDamaged) error = Errno.EIO;
                    // Where nobody knows what the other one has, all that is of another layer may be its.
                    else if ((await from.FindAsync(index) is var its && its.IsDamaged ? entry.Layer != root.Layer : entry.Layer == its.Layer) && await TakeAsync(volume, index, drop: false) is (var status and not 0, _)) error = status;
                }
                catch (ErrnoException fault)
                {
                    error = fault.Errno;
                }

                if (index % 256 == 0) await _context.Reactor.Delay(TimeSpan.Zero);
            }
        }
    }
}
