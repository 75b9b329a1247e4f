using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;

namespace Archipelago.Mapperd.Inspection;

/// <summary>
/// What differs between two versions, by object: what is in the same layer is the same, for an object never changes after another version shares it. Chunks
/// that both directories name alike are skipped. Only where a map does not say whether an object exists is the store asked.
/// </summary>
internal sealed class Difference(VersionMap from, ulong fromObjects, VersionMap to, ulong toObjects, ulong size, int objectSize, ObjectSizes sizes)
{
    /// <summary>Chunks to compare.</summary>
    internal int Chunks => to.Directory.Chunks;

    /// <summary>What differs in a chunk of the later version.</summary>
    internal async ValueTask<List<DiffExtent>> CompareAsync(int chunk)
    {
        var extents = new List<DiffExtent>();
        var word = to.Directory.Words[chunk];
        if (!word.IsDamaged && chunk < from.Directory.Chunks && from.Directory.Words[chunk] == word) return extents;
        var before = await VersionEntries.ReadAsync(from, fromObjects, chunk);
        var after = await VersionEntries.ReadAsync(to, toObjects, chunk);
        ulong first = (ulong)chunk * MapGeometry.ChunkEntries;
        int[] changed = [.. Enumerable.Range(0, after.Count).Where(at => after[at].IsDamaged || before[at].IsDamaged || after[at].Layer != before[at].Layer)];
        var exists = await ExistAsync(changed.Where(at => !IsUnknown(at)).SelectMany(at => (MapEntry[])[after[at], before[at]], (at, entry) => (entry, first + (ulong)at)));
        foreach (int at in changed)
        {
            ulong index = first + (ulong)at;
            if (IsUnknown(at)) Add(extents, index, "unknown");
            else if (exists(after[at], index)) Add(extents, index, "data");
            else if (exists(before[at], index)) Add(extents, index, "zero");
        }

        return extents;

        bool IsUnknown(int at) => after[at].IsDamaged || before[at].IsDamaged;
    }

    /// <summary>Whether objects exist; entries that say so themselves, and those beyond the end, are not asked for.</summary>
    private async ValueTask<Func<MapEntry, ulong, bool>> ExistAsync(IEnumerable<(MapEntry Entry, ulong Index)> entries)
    {
        (ulong Layer, ulong Index)[] asked = [.. entries.Where(e => e.Entry.IsSane && !e.Entry.IsPresent).Select(e => (e.Entry.Layer, e.Index))];
        var found = await sizes.AskAsync(asked);
        var there = asked.Where((_, i) => found[i] >= 0).ToHashSet();
        return (entry, index) => entry.IsPresent || there.Contains((entry.Layer, index));
    }

    private void Add(List<DiffExtent> extents, ulong index, string kind)
    {
        ulong offset = index * (ulong)objectSize, length = Math.Min((ulong)objectSize, size - offset);
        if (extents.Count > 0 && extents[^1] is var last && last.Kind == kind && last.Offset + last.Length == offset) extents[^1] = last with { Length = last.Length + length };
        else extents.Add(new DiffExtent(offset, length, kind));
    }
}
