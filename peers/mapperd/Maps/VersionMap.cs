using Archipelago.Maps;
using Archipelago.Mapperd.Format;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Maps;

/// <summary>Looks up entries of a version, head or snapshot.</summary>
/// <param name="directory">Its directory.</param>
/// <param name="chunks">All chunks.</param>
/// <param name="unkept">Layer that another host may be writing to, 0 for none.</param>
internal sealed class VersionMap(MapDirectory directory, ChunkStore chunks, ulong unkept = 0)
{
    internal MapDirectory Directory => directory;

    /// <summary>The entry of an object.</summary>
    /// <exception cref="ErrnoException">The store fails.</exception>
    internal async ValueTask<MapEntry> FindAsync(ulong index)
    {
        int chunk = (int)(index / MapGeometry.ChunkEntries);
        return Chunk.Entry(await ChunkAsync(chunk), directory.Words[chunk], (int)(index % MapGeometry.ChunkEntries));
    }

    /// <summary>The chunk with the entries of objects from <paramref name="chunk"/> × 7,936 on; null where they are all like the directory's word.</summary>
    internal async ValueTask<Chunk?> ChunkAsync(int chunk)
    {
        var word = directory.Words[chunk];
        return word.IsDamaged || !word.IsPresent ? null : await GetAsync(word.Layer, chunk);
    }

    /// <summary>The same for who does not hold the lock: another host may change chunks of <paramref name="layer"/>, so they are read anew each time.</summary>
    internal VersionMap Unlocked(ulong layer) => new(directory, chunks, layer);

    /// <summary>The same for who holds the lock.</summary>
    internal VersionMap Locked() => new(directory, chunks);

    private ValueTask<Chunk> GetAsync(ulong layer, int chunk) => layer == unkept ? chunks.ReadAsync(layer, chunk) : chunks.GetAsync(layer, chunk);
}
