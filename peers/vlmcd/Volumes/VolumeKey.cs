using Archipelago.Maps;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>
/// What is opened: a volume for writing, a snapshot, or a volume only for reading, which is something else, for another host may be writing to it. The text is
/// the name of its flow.
/// </summary>
/// <param name="Name">The volume or snapshot.</param>
/// <param name="IsReadOnly">Of a volume: not for writing. Snapshots always are.</param>
internal readonly record struct VolumeKey(VolumeName Name, bool IsReadOnly)
{
    internal static VolumeKey Of(VolumeName name, bool readOnly) => new(name, readOnly || name.Snapshot != null);

    /// <summary>The key whose flow has this name; false if it is none of a volume.</summary>
    internal static bool TryParse(ReadOnlySpan<byte> flow, out VolumeKey key)
    {
        key = default;
        bool reader = flow.Length > 1 && flow[^1] == (byte)'@';
        var name = reader ? flow[..^1] : flow;
        int at = name.IndexOf((byte)'@');
        if (!VolumeName.IsValid(at < 0 ? name : name[..at]) || (at >= 0 && !VolumeName.IsValid(name[(at + 1)..]))) return false;
        key = Of(VolumeName.Parse(name), reader);
        return true;
    }

    /// <inheritdoc/>
    public override string ToString() => IsReadOnly && Name.Snapshot == null ? Name + "@" : Name.ToString();
}
