using Archipelago.Mapperd.Maps;
using Archipelago.Maps;

namespace Archipelago.Mapperd.Purging;

/// <summary>Which objects of data and of maps something refers to, by layer.</summary>
internal sealed class References
{
    private readonly Dictionary<ulong, IndexSet> _data = [], _chunks = [];
    private readonly HashSet<(ulong Layer, int Chunk)> _seen = [];

    /// <summary>Layers to which volumes write now, and the volume.</summary>
    internal Dictionary<ulong, string> OwnLayers { get; } = [];

    internal IndexSet? DataOf(ulong layer) => _data.GetValueOrDefault(layer);

    internal IndexSet? ChunksOf(ulong layer) => _chunks.GetValueOrDefault(layer);

    /// <summary>Adds all that a version refers to; false if a part of its map is damaged, so that nobody knows.</summary>
    internal async ValueTask<bool> AddAsync(VersionMap map, ulong objects)
    {
        for (int chunk = 0; chunk < map.Directory.Chunks; chunk++)
        {
            var word = map.Directory.Words[chunk];
            if (word.IsDamaged) return false;
            ulong first = (ulong)chunk * MapGeometry.ChunkEntries, count = Math.Min(MapGeometry.ChunkEntries, objects - Math.Min(objects, first));
            if (!word.IsPresent)
            {
                SetOf(_data, word.Layer).AddRange(first, first + count);
                continue;
            }

            SetOf(_chunks, word.Layer).Add((ulong)chunk);
            // What clones share is read once; a shorter version refers to fewer of its objects.
            if (count == MapGeometry.ChunkEntries && _seen.Contains((word.Layer, chunk))) continue;
            var entries = (await map.ChunkAsync(chunk))!;
            for (int at = 0; at < (int)count; at++)
            {
                var entry = entries[at];
                if (entry.IsDamaged) return false;
                SetOf(_data, entry.Layer).Add(first + (ulong)at);
            }

            // One that is damaged is that for all who share it.
            if (count == MapGeometry.ChunkEntries) _seen.Add((word.Layer, chunk));
        }

        return true;
    }

    private static IndexSet SetOf(Dictionary<ulong, IndexSet> sets, ulong layer)
    {
        if (!sets.TryGetValue(layer, out var set)) sets.Add(layer, set = new IndexSet());
        return set;
    }
}
