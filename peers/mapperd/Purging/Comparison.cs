using Archipelago.Mapperd.Maps;
using Archipelago.Maps;

namespace Archipelago.Mapperd.Purging;

/// <summary>
/// Finds what only one version of a volume refers to: it is compared with the versions next to it in the tree. What it shares with any other it shares with one
/// of these. Where directories name the same chunk nothing is read.
/// </summary>
internal sealed class Comparison(VersionMap version, ulong objects, IReadOnlyList<VersionMap> neighbours)
{
    /// <summary>Chunks of the version.</summary>
    internal int Chunks => version.Directory.Chunks;

    /// <summary>Objects of a chunk that are the version's alone, as (layer, index). Damaged entries are nobody's.</summary>
    internal async ValueTask<List<(ulong Layer, ulong Index)>> OwnObjectsAsync(int chunk)
    {
        var own = new List<(ulong, ulong)>();
        var word = version.Directory.Words[chunk];
        if (word.IsDamaged || SharesWord(chunk, word)) return own;
        var mine = await version.ChunkAsync(chunk);
        var others = new List<(Chunk? Chunk, MapEntry Word)>();
        foreach (var neighbour in Longer(chunk)) others.Add((await neighbour.ChunkAsync(chunk), neighbour.Directory.Words[chunk]));
        ulong first = (ulong)chunk * MapGeometry.ChunkEntries;
        int count = (int)Math.Min(MapGeometry.ChunkEntries, objects - Math.Min(objects, first));
        for (int at = 0; at < count; at++)
        {
            var entry = Chunk.Entry(mine, word, at);
            if (!entry.IsDamaged && !others.Exists(other => Chunk.Entry(other.Chunk, other.Word, at) is var its && (its.IsDamaged || its.Layer == entry.Layer))) own.Add((entry.Layer, first + (ulong)at));
        }

        return own;
    }

    /// <summary>Whether a neighbour refers to an object, or may.</summary>
    internal async ValueTask<bool> IsSharedAsync(ulong layer, ulong index)
    {
        foreach (var neighbour in Longer((int)(index / MapGeometry.ChunkEntries)))
            if (await neighbour.FindAsync(index) is var its && (its.IsDamaged || its.Layer == layer)) return true;
        return false;
    }

    /// <summary>Whether a neighbour's directory names a chunk, or may.</summary>
    internal bool IsChunkShared(ulong layer, int chunk) => SharesWord(chunk, MapEntry.Of(layer, true));

    /// <summary>The layer of a chunk that is the version's alone, or 0.</summary>
    internal ulong OwnChunk(int chunk)
    {
        var word = version.Directory.Words[chunk];
        return !word.IsDamaged && word.IsPresent && !Longer(chunk).Any(neighbour => neighbour.Directory.Words[chunk] is var its && (its.IsDamaged || its == word)) ? word.Layer : 0;
    }

    private bool SharesWord(int chunk, MapEntry word) => Longer(chunk).Any(neighbour => neighbour.Directory.Words[chunk] == word || neighbour.Directory.Words[chunk].IsDamaged);

    private IEnumerable<VersionMap> Longer(int chunk) => neighbours.Where(neighbour => chunk < neighbour.Directory.Chunks);
}
