using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>
/// Snapshot, rollback, growing and shrinking. All are one change: a new directory, perhaps a record that keeps the old head as a snapshot (for its user, or to be
/// deleted), and the root, whose write is the commit point.
/// </summary>
internal sealed partial class VolumeService
{
    /// <summary>Makes a snapshot of the head as it is; whoever writes to the volume has come to rest and flushed. Its user goes on in a new layer.</summary>
    internal Task<VolumeRoot> SnapshotAsync(string name, string snapshot, UInt128 identity) => RebuildAsync(name, async volume =>
    {
        var root = volume.Root!;
        if (IsDone(root, identity)) return root;
        if (volume.Find(snapshot) != null) throw new ErrnoException(Errno.EEXIST, $"snapshot {name}@{snapshot} exists already; choose another name, or delete that one");
        // Its user has flushed, unless that was a predecessor of whoever asks now.
        if (volume.IsOpen && await _data.FlushAsync(volume.Flow) is var flushed and not 0)
            throw new ErrnoException(flushed, $"volume {name}: no snapshot was made, the flush failed: {Errno.Describe(flushed)}");
        var directory = MapDirectory.Make(root.Id, NewId(), volume.Head.Directory.Chunks, volume.Head.Directory, root.Layer);
        await CommitHeadAsync(volume, directory, root with { Layer = NewLayer(), Parent = root.NextSnapshot, ChangedBy = identity }, KeepHead(volume, snapshot));
        return volume.Root!;
    });

    /// <summary>Makes the head what a snapshot is. What only the head had is deleted in the background.</summary>
    internal async Task<VolumeRoot> RollbackAsync(string name, string snapshot, UInt128 identity)
    {
        var result = await RebuildAsync(name, async volume =>
        {
            var root = volume.Root!;
            if (IsDone(root, identity)) return root;
            if (volume.IsOpen) throw LeftOpen(name);
            var to = volume.Find(snapshot) ?? throw NoSnapshot(new VolumeName(name, snapshot));
            var map = await _store.MapOfAsync(root, to);
            CheckWhole(map.Directory, root.Id, new VolumeName(name, snapshot));
            var directory = MapDirectory.Make(root.Id, NewId(), map.Directory.Chunks, map.Directory, root.Layer);
            await CommitHeadAsync(
                volume, directory, root with { Size = to.Size, Layer = NewLayer(), Parent = to.Number, ChangedBy = identity }, KeepHead(volume, null));
            await ListAsync(volume.Root!);
            StartPurge(volume);
            return volume.Root!;
        });
        return result;
    }

    /// <summary>A head that is whole is not given up for a version of which parts are lost.</summary>
    private static void CheckWhole(MapDirectory directory, ulong id, VolumeName name)
    {
        int damaged = directory.Words.Count(word => word.IsDamaged);
        if (damaged == 0) return;
        string what = directory.IsMissing ? "is missing" : $"is damaged in {damaged} of {directory.Chunks} words";
        throw new ErrnoException(
            Errno.EIO,
            $"volume {name.Volume}: it was not rolled back: the map of {name}, object {System.Text.Encoding.ASCII.GetString(MapDirectory.ObjectOf(id, directory.Generation))}, {what}; restore that object from a copy, or go back to another snapshot (`archipelago volume fsck {name.Volume}` shows what is whole)");
    }

    /// <summary>Sets the size. What a shrink cuts off is gone when it is done; its objects are deleted in the background.</summary>
    internal Task<VolumeRoot> ResizeAsync(string name, ulong size) => RebuildAsync(name, async volume =>
    {
        var root = volume.Root!;
        CheckSize(name, size, root.ObjectSize);
        if (size == root.Size) return root;
        if (size > root.Size)
        {
            var directory = MapDirectory.Make(root.Id, NewId(), ChunksOf(size, root.ObjectSize), volume.Head.Directory, root.Layer);
            await CommitHeadAsync(volume, directory, root with { Size = size }, null);
        }
        else
        {
            // First a layer of its own, then what is copied for the cut: whatever a crash leaves there is in a layer that is known.
            var same = MapDirectory.Make(root.Id, NewId(), volume.Head.Directory.Chunks, volume.Head.Directory, root.Layer);
            await CommitHeadAsync(volume, same, root with { Layer = NewLayer(), Parent = root.NextSnapshot }, KeepHead(volume, null));
            await CommitHeadAsync(volume, await CutAsync(volume, size), volume.Root! with { Size = size }, null);
            StartPurge(volume);
        }

        await ListAsync(volume.Root!);
        return volume.Root!;
    });

    /// <summary>
    /// The directory of the head cut off at <paramref name="size"/>: what of its last chunk, and of its last object, lies beyond is made to read as zeros,
    /// in the own layer, which is new, so that a later grow does not bring it back.
    /// </summary>
    private async ValueTask<MapDirectory> CutAsync(Volume volume, ulong size)
    {
        var root = volume.Root!;
        ulong layer = root.Layer;
        ulong objects = MapGeometry.ObjectsFor(size, root.ObjectSize), inside = size % (ulong)root.ObjectSize;
        int chunks = MapGeometry.ChunksFor(objects), last = chunks - 1;
        var directory = MapDirectory.Make(root.Id, NewId(), chunks, volume.Head.Directory, root.Layer);
        var word = directory.Words[last];
        if (word.IsDamaged) throw new ErrnoException(Errno.EIO, $"volume {volume.Name}: the map is damaged where it would be cut; restore object d.{root.Id:x16}.{root.Generation:x16}");
        var old = await volume.Head.ChunkAsync(last);
        var cut = old != null ? Chunk.Copy(old, layer) : Chunk.Uniform(layer, last, word.Layer);
        var changes = new List<(int At, MapEntry Entry)>();
        int first = (int)(objects - (ulong)last * MapGeometry.ChunkEntries);
        for (int at = first; at < MapGeometry.ChunkEntries; at++) changes.Add((at, MapEntry.Of(layer, false)));
        if (inside != 0) changes.Add((first - 1, await CopyHeadOfAsync(volume, objects - 1, layer, inside)));
        foreach (var ofSector in changes.Where(change => cut.IsSound(change.At)).GroupBy(change => change.At / MapGeometry.SectorEntries))
            cut.Replace(ofSector.Key, cut.With(ofSector.Key, ofSector));
        await _store.Chunks.PutAsync(cut, volume.Flow);
        directory.Words[last] = MapEntry.Of(layer, true);
        return directory;
    }

    /// <summary>The first bytes of the object that the new size cuts, in the new layer.</summary>
    private async ValueTask<MapEntry> CopyHeadOfAsync(Volume volume, ulong index, ulong layer, ulong bytes)
    {
        var entry = await volume.Head.FindAsync(index);
        if (entry.IsDamaged) throw new ErrnoException(Errno.EIO, $"volume {volume.Name}: the map is damaged where it would be cut, at object {index}");
        int status = await CopyObjectAsync(volume, entry, index, layer, bytes);
        if (status is not (0 or Errno.ENOENT)) throw new ErrnoException(status, $"volume {volume.Name}: object {index} cannot be cut: {Errno.Describe(status)}");
        return MapEntry.Of(layer, status == 0);
    }

    /// <summary>The head as a snapshot; without a name it is one that is to be deleted.</summary>
    private SnapshotRecord KeepHead(Volume volume, string? name) => new()
    {
        State = name == null ? SnapshotState.Deleting : SnapshotState.Live,
        Number = volume.Root!.NextSnapshot,
        Parent = volume.Root.Parent,
        Generation = volume.Root.Generation,
        Size = volume.Root.Size,
        Layer = volume.Root.Layer,
        Created = NowUnix(),
        Name = name ?? "",
    };

    /// <summary>Directory, record, root: in this order. Until the last one is written nothing refers to the first two.</summary>
    private async ValueTask CommitHeadAsync(Volume volume, MapDirectory directory, VolumeRoot root, SnapshotRecord? kept)
    {
        ulong old = volume.Root!.Generation;
        await directory.SaveAsync(_meta, volume.Flow);
        root = root with { Generation = directory.Generation };
        if (kept != null)
        {
            int slot = volume.FreeSlot();
            if (slot >= SnapshotRecord.MaxSlots) throw new ErrnoException(Errno.ENOSPC, $"volume {volume.Name} has {slot} snapshots, the most there can be; delete some");
            await _store.PutSnapshotAsync(volume, slot, kept);
            root = root with { NextSnapshot = kept.Number + 1, Slots = Math.Max(root.Slots, slot + 1) };
        }

        await _store.CommitAsync(volume, root);
        volume.SetHead(new VersionMap(directory, _store.Chunks));
        // A purge that goes on would compare with what was the head.
        ForgetCursors(root.Id);
        if (kept == null) await ForgetAsync(MapDirectory.ObjectOf(root.Id, old));
    }

    /// <summary>A change that makes a new directory: no entry changes from the reading of the old one until the new one is the head's.</summary>
    private Task<VolumeRoot> RebuildAsync(string name, Func<Volume, Task<VolumeRoot>> change) => ChangeAsync(name, async volume =>
    {
        volume.IsRebuilding = true;
        try
        {
            while (volume.Copies.Count > 0 || volume.Writer is { IsIdle: false }) await _context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
            return await change(volume);
        }
        finally
        {
            volume.IsRebuilding = false;
        }
    });

    /// <summary>Deletes what nothing refers to any more; if that fails the collector finds it.</summary>
    private async ValueTask ForgetAsync(byte[] name)
    {
        try
        {
            await _store.DeleteAsync(name);
        }
        catch (ErrnoException later)
        {
            _context.Log.LogWarning("{Error}; `archipelago volume gc` removes it", later.Message);
        }
    }

    private static bool IsDone(VolumeRoot root, UInt128 identity) => identity != 0 && root.ChangedBy == identity;
}
