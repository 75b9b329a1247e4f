using Archipelago.Maps;
using Archipelago.Mapperd.Format;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Maps;

/// <summary>Looks up entries of a version, head or snapshot.</summary>
internal sealed class VersionMap(MapDirectory directory, ChunkStore chunks)
{
    internal MapDirectory Directory => directory;

    /// <summary>The entry of an object.</summary>
    /// <exception cref="ErrnoException">The store fails.</exception>
    internal async ValueTask<MapEntry> FindAsync(ulong index)
    {
        int chunk = (int)(index / MapGeometry.ChunkEntries);
        var word = directory.Words[chunk];
        if (word.IsDamaged || !word.IsPresent) return word;
        return (await chunks.GetAsync(word.Layer, chunk))[(int)(index % MapGeometry.ChunkEntries)];
    }

    /// <summary>The chunk with the entries of objects from <paramref name="chunk"/> × 7,936 on; null where they are all like the directory's word.</summary>
    internal async ValueTask<Chunk?> ChunkAsync(int chunk)
    {
        var word = directory.Words[chunk];
        return word.IsDamaged || !word.IsPresent ? null : await chunks.GetAsync(word.Layer, chunk);
    }
}
