using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>Entries of the head: copy-up, and parts that become zeros as a whole. A durable entry never names an object that is not stable.</summary>
internal sealed partial class VolumeService
{
    /// <summary>
    /// Makes an object the volume's own, so that it may be written: with the content that it shows (copy-up), or, with <paramref name="drop"/>, so that it may be
    /// deleted. Requests of one object at the same time share one copy. 0 or an errno.
    /// </summary>
    internal async ValueTask<(int Status, MapEntry Entry)> TakeAsync(Volume volume, ulong index, bool drop)
    {
        while (true)
        {
            if (volume.IsRebuilding || volume.IsReloading) await _context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
            else if (volume.Copies.TryGetValue(index, out var running)) await running;
            else break;
        }

        // A change whose outcome is not known has unloaded it: the next request loads it.
        if (!volume.IsLoaded) return (Errno.EAGAIN, default);
        if (index >= MapGeometry.ObjectsFor(volume.Root!.Size, volume.Root.ObjectSize)) return (Errno.EINVAL, default);
        var head = volume.Head;
        var work = TakeAloneAsync(volume, head, volume.Root, volume.Writer!, index, drop);
        if (!work.IsCompleted)
        {
            volume.Copies.Add(index, work);
            await work;
            volume.Copies.Remove(index);
        }

        return await work is var status and not 0 ? (status, default) : (0, await head.FindAsync(index));
    }

    /// <summary>Of the head as it is now: the volume may be unloaded meanwhile, by a change that is none of its map.</summary>
    private async Task<int> TakeAloneAsync(Volume volume, VersionMap head, VolumeRoot root, EntryWriter writer, ulong index, bool drop)
    {
        try
        {
            ulong own = root.Layer;
            var entry = await head.FindAsync(index);
            if (entry.IsDamaged) return Errno.EIO;
            if (entry.Layer == own && !(drop && entry.IsPresent)) return 0;
            if (entry.Layer == own) return await writer.SetAsync(index, MapEntry.Of(own, false));
            int status = drop ? Errno.ENOENT : await CopyObjectAsync(volume, entry, index, own, (ulong)root.ObjectSize);
            bool copied = status == 0;
            // An earlier copy whose entry was never written may lie there.
            if (status == Errno.ENOENT) status = await DropOwnAsync(volume, index, own);
            if (status == 0) status = await writer.SetAsync(index, MapEntry.Of(own, copied));
            if (status == 0) await LeaveAsync(volume, index, entry);
            return status;
        }
        catch (ErrnoException failed)
        {
            _context.Log.LogError("volume {Volume}: object {Index}: {Error}", volume.Name, index, failed.Message);
            return failed.Errno;
        }
    }

    /// <summary>Copies an object to another layer, stable. ENOENT if there is none, and there need not be one.</summary>
    private async ValueTask<int> CopyObjectAsync(Volume volume, MapEntry from, ulong index, ulong layer, ulong bytes)
    {
        var (status, _) = await _data.RunAsync(
            XsegOp.Copy, volume.Flow, LayerName.Data(layer, index), 0, bytes,
            RequestFlags.ForceUnitAccess | RequestFlags.Shared, LayerName.Data(from.Layer, index));
        if (status != Errno.ENOENT || !from.IsPresent) return status;
        _context.Log.LogError("volume {Volume}: object {Object} is lost: the map says that it exists", volume.Name, System.Text.Encoding.ASCII.GetString(LayerName.Data(from.Layer, index)));
        return Errno.EIO;
    }

    private async ValueTask<int> DropOwnAsync(Volume volume, ulong index, ulong own)
    {
        var (status, _) = await _data.RunAsync(XsegOp.Delete, volume.Flow, LayerName.Data(own, index));
        return status is 0 or Errno.ENOENT ? await _data.FlushAsync(volume.Flow) : status;
    }

    /// <summary>The head no longer refers to an object: if nothing else does, it goes.</summary>
    private async ValueTask LeaveAsync(Volume volume, ulong index, MapEntry left)
    {
        if (IsLeftToVictim(volume))
        {
            volume.LeftToVictim.Add((left.Layer, index));
            return;
        }

        // Where a record of a snapshot is damaged nobody knows what it refers to.
        if (!volume.IsLoaded || volume.Faults.Count > 0) return;
        try
        {
            // What one version shares with another it shares with all between them, so the one from which the head came tells for all.
            if (await ParentOfAsync(volume, volume.Root!.Parent) is { } parent && (await FindIn(parent, index)) is var its && (its.IsDamaged || its.Layer == left.Layer)) return;
        }
        catch (ErrnoException unknown)
        {
            // Nobody's write fails for that.
            _context.Log.LogWarning("volume {Volume}: whether object {Index} of layer {Layer:x} is needed is not known: {Error}; it stays", volume.Name, index, left.Layer, unknown.Message);
            return;
        }

        var (status, _) = await _data.RunAsync(XsegOp.Delete, _data.Flow, LayerName.Data(left.Layer, index));
        if (status is not (0 or Errno.ENOENT))
            _context.Log.LogWarning("volume {Volume}: object {Index} of layer {Layer:x} is not needed any more and cannot be deleted: {Error}; `archipelago volume gc` removes it", volume.Name, index, left.Layer, Errno.Describe(status));
    }

    /// <summary>True if the snapshot from which the head comes, and has what it does not own, is being removed: that sees to what the head leaves.</summary>
    private static bool IsLeftToVictim(Volume volume) => volume is { PurgeVictim: not 0, Root: { } root } && root.Parent == volume.PurgeVictim;

    /// <summary>The head has a chunk of its own in the place of this one: if nothing else names it, it goes.</summary>
    private async ValueTask LeaveChunkAsync(Volume volume, int chunk, MapEntry word)
    {
        if (IsLeftToVictim(volume))
        {
            volume.ChunksLeftToVictim.Add((word.Layer, chunk));
            return;
        }

        if (!volume.IsLoaded || volume.Faults.Count > 0) return;
        try
        {
            // As with objects: the version from which the head came tells for all.
            if (await ParentOfAsync(volume, volume.Root!.Parent) is { } parent && chunk < parent.Directory.Chunks && parent.Directory.Words[chunk] is var its && (its.IsDamaged || its == word)) return;
            await DeleteChunkAsync(word.Layer, chunk);
        }
        catch (ErrnoException unknown)
        {
            _context.Log.LogWarning("volume {Volume}: chunk {Chunk} of layer {Layer:x} may not be needed any more: {Error}; it stays until `archipelago volume gc`", volume.Name, chunk, word.Layer, unknown.Message);
        }
    }
}
