using Archipelago.Mapperd.Maps;
using Archipelago.Maps;

namespace Archipelago.Mapperd.Inspection;

/// <summary>The entries of one chunk of a version, with those that lie beyond its end as none.</summary>
internal readonly struct VersionEntries(Chunk? chunk, MapEntry word, int count)
{
    /// <summary>Entries of objects of the version.</summary>
    internal int Count => count;

    /// <summary>An entry; default, which is no sane one, beyond the end.</summary>
    internal MapEntry this[int at] => at >= count ? default : Chunk.Entry(chunk, word, at);

    internal static async ValueTask<VersionEntries> ReadAsync(VersionMap map, ulong objects, int chunk)
    {
        if (chunk >= map.Directory.Chunks) return default;
        ulong first = (ulong)chunk * MapGeometry.ChunkEntries;
        int count = (int)Math.Min(MapGeometry.ChunkEntries, objects - Math.Min(objects, first));
        return new VersionEntries(await map.ChunkAsync(chunk), map.Directory.Words[chunk], count);
    }
}
