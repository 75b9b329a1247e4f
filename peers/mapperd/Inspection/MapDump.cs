using System.Text;
using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Mapperd.Volumes;
using Archipelago.Maps;

namespace Archipelago.Mapperd.Inspection;

/// <summary>Shows what the map of a version says, as it is in the store, damage included.</summary>
internal sealed class MapDump(Volume volume, SnapshotRecord? snapshot, VersionMap map)
{
    private ulong Size => snapshot?.Size ?? volume.Root!.Size;
    private ulong Objects => MapGeometry.ObjectsFor(Size, volume.Root!.ObjectSize);
    private string DirectoryObject => Encoding.ASCII.GetString(MapDirectory.ObjectOf(volume.Root!.Id, map.Directory.Generation));

    internal int Chunks => map.Directory.Chunks;

    internal MapHead Head()
    {
        var root = volume.Root!;
        return new MapHead(
            new VolumeName(root.Name, snapshot?.Name).ToString(), $"{root.Id:x16}", Size, root.ObjectSize, Objects, Chunks, $"v.{root.Id:x16}", DirectoryObject,
            $"{snapshot?.Layer ?? root.Layer:x14}", snapshot?.Number ?? 0, snapshot?.Parent ?? root.Parent, root.BaseVolume == 0 ? null : $"{root.BaseVolume:x16}",
            root.BaseVolume == 0 ? null : root.BaseSnapshot, root.NextSnapshot, root.Slots, root.Epoch, root.Sequence, [.. volume.Faults.Values]);
    }

    internal async ValueTask<MapChunk> ChunkAsync(int index)
    {
        var word = map.Directory.Words[index];
        ulong first = (ulong)index * MapGeometry.ChunkEntries;
        var entries = await VersionEntries.ReadAsync(map, Objects, index);
        var runs = new List<MapRun>();
        for (int at = 0; at < entries.Count; at++)
        {
            var entry = entries[at];
            string? layer = entry.IsDamaged ? null : $"{entry.Layer:x14}";
            if (runs.Count > 0 && runs[^1] is var last && last.Layer == layer && last.Present == (entry.IsPresent && !entry.IsDamaged)) runs[^1] = last with { Count = last.Count + 1 };
            else runs.Add(new MapRun(first + (ulong)at, 1, layer, entry.IsPresent && !entry.IsDamaged));
        }

        string? name = word.IsDamaged || !word.IsPresent ? null : Encoding.ASCII.GetString(LayerName.Chunk(word.Layer, index));
        return new MapChunk(index, first, name, word.IsDamaged ? null : $"{word.Layer:x14}", runs, [.. await DamageAsync(index, word, name, entries)]);
    }

    private async ValueTask<List<string>> DamageAsync(int index, MapEntry word, string? name, VersionEntries entries)
    {
        if (word.IsDamaged) return [$"sector {index / MapGeometry.SectorEntries} of object {DirectoryObject}: the directory's word of chunk {index}"];
        if (name == null || await map.ChunkAsync(index) is not { } chunk) return [];
        var found = new List<string>();
        for (int sector = 0; sector < MapGeometry.ChunkSectors; sector++)
        {
            int from = sector * MapGeometry.SectorEntries;
            ulong first = (ulong)index * MapGeometry.ChunkEntries + (ulong)from;
            if (!chunk.IsSectorSound(sector)) found.Add($"sector {sector} of object {name}: the entries of objects {first} to {first + MapGeometry.SectorEntries - 1}");
            else
                for (int at = from; at < Math.Min(from + MapGeometry.SectorEntries, entries.Count); at++)
                    if (entries[at].IsDamaged) found.Add($"sector {sector} of object {name}: the entry of object {(ulong)index * MapGeometry.ChunkEntries + (ulong)at} makes no sense");
        }

        return found;
    }
}
