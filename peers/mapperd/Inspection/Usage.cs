using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Maps;
using Archipelago.Mapperd.Purging;
using Archipelago.Maps;

namespace Archipelago.Mapperd.Inspection;

/// <summary>
/// What each version of a volume takes in the store, counted chunk by chunk for all versions together, so that an object that several share is asked for once.
/// </summary>
/// <param name="versions">The volume's versions.</param>
/// <param name="origin">What the volume was cloned from; null if it was not.</param>
/// <param name="sizes">Asks the store.</param>
internal sealed class Usage(IReadOnlyList<Usage.Version> versions, VersionMap? origin, ObjectSizes sizes)
{
    private ulong _bytes, _objects, _originBytes, _originObjects;

    /// <summary>A version, and the versions next to it in the tree.</summary>
    internal sealed record Version(string Name, string State, ulong Size, ulong Objects, VersionMap Map, IReadOnlyList<VersionMap> Neighbours)
    {
        internal ulong OwnBytes, SharedBytes, OwnObjects, SharedObjects, Damaged;
    }

    internal int Chunks => versions.Max(version => version.Map.Directory.Chunks);

    internal async ValueTask CountAsync(int chunk)
    {
        var known = new Dictionary<(ulong, ulong), long>();
        foreach (var version in versions)
        {
            if (chunk >= version.Map.Directory.Chunks) continue;
            var entries = await VersionEntries.ReadAsync(version.Map, version.Objects, chunk);
            var own = (await new Comparison(version.Map, version.Objects, version.Neighbours).OwnObjectsAsync(chunk)).ToHashSet();
            ulong first = (ulong)chunk * MapGeometry.ChunkEntries;
            var objects = new List<(ulong Layer, ulong Index)>();
            for (int at = 0; at < entries.Count; at++)
            {
                if (entries[at].IsDamaged) version.Damaged++;
                else objects.Add((entries[at].Layer, first + (ulong)at));
            }

            (ulong, ulong)[] asked = [.. objects.Where(o => !known.ContainsKey(o))];
            var found = await sizes.AskAsync(asked);
            for (int i = 0; i < asked.Length; i++) known.Add(asked[i], found[i]);
            foreach (var place in objects)
            {
                if (known[place] is not (var size and >= 0)) continue;
                if (own.Contains(place)) (version.OwnBytes, version.OwnObjects) = (version.OwnBytes + (ulong)size, version.OwnObjects + 1);
                else (version.SharedBytes, version.SharedObjects) = (version.SharedBytes + (ulong)size, version.SharedObjects + 1);
            }
        }

        await SumAsync(chunk, known);
    }

    /// <summary>What the versions refer to in this chunk, each object once.</summary>
    private async ValueTask SumAsync(int chunk, Dictionary<(ulong Layer, ulong Index), long> known)
    {
        ulong first = (ulong)chunk * MapGeometry.ChunkEntries;
        var before = origin == null ? default : await VersionEntries.ReadAsync(origin, ulong.MaxValue, chunk);
        foreach (var (place, size) in known.Where(pair => pair.Value >= 0))
        {
            (_bytes, _objects) = (_bytes + (ulong)size, _objects + 1);
            var entry = before[(int)(place.Index - first)];
            if (!entry.IsDamaged && entry.Layer == place.Layer) (_originBytes, _originObjects) = (_originBytes + (ulong)size, _originObjects + 1);
        }
    }

    internal UsageTotal Total() => new(_bytes, _objects, _originBytes, _originObjects);

    internal IReadOnlyList<VersionUsage> Result() =>
        [.. versions.Select(v => new VersionUsage(v.Name, v.State, v.Size, v.OwnBytes, v.SharedBytes, v.OwnObjects, v.SharedObjects, v.Damaged))];
}
