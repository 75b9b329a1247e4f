using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Volumes;

/// <summary>The tree of versions: whence each has come. What one version shares with another it shares with all between the two.</summary>
internal sealed partial class VolumeService
{
    /// <summary>The map of the version of number <paramref name="parent"/>, of the snapshot that the volume was cloned from if it is 0, or null for none.</summary>
    /// <exception cref="ErrnoException">EIO: there is no record of it, so nobody knows what is shared with it.</exception>
    private async ValueTask<VersionMap?> ParentOfAsync(Volume volume, ulong parent)
    {
        if (parent == 0) return await BaseOfAsync(volume.Root!);
        var record = volume.Find(parent) ?? throw new ErrnoException(
            Errno.EIO, $"volume {volume.Name}: of snapshot {parent}, from which a version of it has come, there is no record in object v.{volume.Root!.Id:x16}, or a damaged one; restore the object from a copy, or copy the volume's content to a new one (`archipelago volume export`) and delete it");
        return await CachedMapAsync(volume.Root!, record);
    }

    /// <summary>
    /// The map of the snapshot that a volume was cloned from; null if it was not. If that volume was given up nothing of it is known: all may be shared then, and what is
    /// not the collector finds.
    /// </summary>
    private async ValueTask<VersionMap?> BaseOfAsync(VolumeRoot root)
    {
        if (root.BaseVolume == 0) return null;
        if (_maps.TryGetValue((root.BaseVolume, root.BaseSnapshot), out var known)) return known;
        var seen = new Volume(root.Name, _context.Reactor);
        bool exists = await _store.TryLoadAsync(seen, root.BaseVolume);
        if (!exists && await Catalogue.FindAsync(root.BaseVolume) == null && Catalogue.Faults.Count == 0)
            return _store.LostMap(root.BaseVolume, ChunksOf(root.Size, root.ObjectSize));
        if (!exists || seen.Find(root.BaseSnapshot) is not { } snapshot)
            throw new ErrnoException(Errno.EIO, $"volume {root.Name}: the snapshot that it was cloned from, {root.BaseSnapshot} of volume {root.BaseVolume:x16}, is missing");
        return await CachedMapAsync(seen.Root!, snapshot);
    }

    private async ValueTask<VersionMap> CachedMapAsync(VolumeRoot root, SnapshotRecord snapshot)
    {
        if (_maps.TryGetValue((root.Id, snapshot.Number), out var known)) return known;
        var map = await _store.MapOfAsync(root, snapshot);
        // Directories of snapshots never change; a few KiB each.
        if (_maps.Count >= MostMaps) _maps.Clear();
        return _maps[(root.Id, snapshot.Number)] = map;
    }

    private const int MostMaps = 1024;
    private readonly Dictionary<(ulong Volume, ulong Number), VersionMap> _maps = [];

    /// <summary>An entry of a version that may be shorter.</summary>
    private static async ValueTask<MapEntry> FindIn(VersionMap map, ulong index) =>
        index / MapGeometry.ChunkEntries < (ulong)map.Directory.Chunks ? await map.FindAsync(index) : default;
}
