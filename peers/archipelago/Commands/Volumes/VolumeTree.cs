using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>Volumes, below each its snapshots, below each snapshot the volumes that were cloned from it.</summary>
internal sealed class VolumeTree(IReadOnlyList<VolumeView> volumes)
{
    private readonly HashSet<VolumeView> _shown = [];

    /// <summary>A line: a volume, or a snapshot of it.</summary>
    internal sealed record Line(string Text, VolumeView Volume, SnapshotInfo? Snapshot);

    /// <summary>All volumes, each once, whatever their headers say of each other.</summary>
    internal IEnumerable<Line> Lines()
    {
        var byBase = volumes.Where(v => v.Base != null).ToLookup(v => v.Base!, StringComparer.Ordinal);
        var places = volumes.SelectMany(v => (v.Snapshots ?? []).Select(s => PlaceOf(v, s))).ToHashSet(StringComparer.Ordinal);
        foreach (var volume in volumes.Where(v => v.Base == null || !places.Contains(v.Base)))
            foreach (var line in Below(volume, "", "", byBase)) yield return line;
        // A circle of forged headers has no beginning.
        foreach (var volume in volumes.Where(v => !_shown.Contains(v)))
            foreach (var line in Below(volume, "", "", byBase)) yield return line;
    }

    /// <summary>The volumes with the names of the snapshots that they were cloned from, as far as these are known.</summary>
    internal static IEnumerable<VolumeView> Named(IReadOnlyList<VolumeView> volumes)
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var volume in volumes)
            foreach (var snapshot in (volume.Snapshots ?? []).Where(s => s.Name.Length > 0)) names[PlaceOf(volume, snapshot)] = $"{volume.Name}@{snapshot.Name}";
        return volumes.Select(v => v.Base is { } place && names.TryGetValue(place, out string? name) ? v with { Base = name } : v);
    }

    /// <summary>As the list names the base of a clone.</summary>
    private static string PlaceOf(VolumeView volume, SnapshotInfo snapshot) => $"{volume.Name}@#{snapshot.Number}";

    private IEnumerable<Line> Below(VolumeView volume, string first, string rest, ILookup<string, VolumeView> byBase)
    {
        if (!_shown.Add(volume)) yield break;
        yield return new Line(first + volume.Name, volume, null);
        var snapshots = volume.Snapshots ?? [];
        for (int i = 0; i < snapshots.Count; i++)
        {
            bool isLast = i == snapshots.Count - 1;
            string below = rest + (isLast ? "   " : "│  ");
            yield return new Line($"{rest}{(isLast ? "└─ " : "├─ ")}@{(snapshots[i].Name.Length > 0 ? snapshots[i].Name : $"#{snapshots[i].Number}")}", volume, snapshots[i]);
            VolumeView[] clones = [.. byBase[PlaceOf(volume, snapshots[i])]];
            for (int j = 0; j < clones.Length; j++)
            {
                bool isLastClone = j == clones.Length - 1;
                foreach (var line in Below(clones[j], below + (isLastClone ? "└─ " : "├─ "), below + (isLastClone ? "   " : "│  "), byBase)) yield return line;
            }
        }
    }
}
