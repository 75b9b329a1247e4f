using Archipelago.Maps;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Mapperd.Format;

/// <summary>State of a snapshot.</summary>
internal enum SnapshotState : uint
{
    /// <summary>A snapshot.</summary>
    Live = 1,
    /// <summary>It is gone for its users; what only it refers to is being deleted.</summary>
    Deleting = 2,
    /// <summary>What only it referred to is gone; only its place in the tree of versions is left.</summary>
    Purged = 3,
}

/// <summary>
/// A version of a volume that does not change any more: one of the sectors behind the root in object <c>v.ID</c> (layout in README.md). It counts only if
/// its number is below the root's next one.
/// </summary>
internal sealed record SnapshotRecord
{
    /// <summary>Most snapshots that a volume has at a time.</summary>
    internal const int MaxSlots = 8191;

    private const ulong Magic = 0x0050_4e53_4843_5241; // "ARCHSNP\0"
    private const uint CurrentVersion = 1;

    internal required SnapshotState State { get; init; }
    /// <summary>Number, from 1 on; never used again within the volume.</summary>
    internal required ulong Number { get; init; }
    /// <summary>Number of the version from which it has come, 0 for none of this volume.</summary>
    internal required ulong Parent { get; init; }
    /// <summary>Generation of its directory.</summary>
    internal required ulong Generation { get; init; }
    internal required ulong Size { get; init; }
    /// <summary>What was the own layer until then.</summary>
    internal required ulong Layer { get; init; }
    internal required long Created { get; init; }
    /// <summary>Empty in what a shrink or a rollback has left to be deleted.</summary>
    internal required string Name { get; init; }

    internal byte[] ToSector()
    {
        var to = new byte[Sector.Bytes];
        Sector.Begin(to, Magic, CurrentVersion);
        Sector.U32(to, 12, (uint)State);
        Sector.U64(to, 16, Number);
        Sector.U64(to, 24, Parent);
        Sector.U64(to, 32, Generation);
        Sector.U64(to, 40, Size);
        Sector.U64(to, 48, Layer);
        Sector.U64(to, 56, (ulong)Created);
        Sector.Name(to, 64, Name);
        Crc32C.Seal(to);
        return to;
    }

    /// <summary>Null for a free sector, and with a reason for one that makes no sense. The bytes may be anything.</summary>
    internal static SnapshotRecord? Read(ReadOnlySpan<byte> from, VolumeRoot root, out string? why)
    {
        why = null;
        if (Sector.IsZero(from)) return null;
        if (Sector.Fault(from, Magic, CurrentVersion, "snapshot's record") is { } fault)
        {
            why = fault.What;
            return null;
        }

        var state = (SnapshotState)Sector.U32(from, 12);
        string name = Sector.U32(from, 64) << 16 == 0 ? "" : Sector.Name(from, 64) ?? "?";
        var record = new SnapshotRecord
        {
            State = state,
            Number = Sector.U64(from, 16),
            Parent = Sector.U64(from, 24),
            Generation = Sector.U64(from, 32),
            Size = Sector.U64(from, 40),
            Layer = Sector.U64(from, 48),
            Created = (long)Sector.U64(from, 56),
            Name = name,
        };
        why = state is not (SnapshotState.Live or SnapshotState.Deleting or SnapshotState.Purged) ? $"gives an impossible state, {state}"
            : name == "?" || (name.Length == 0 && state == SnapshotState.Live) ? "gives an impossible name"
            // So a forged record cannot make the tree of versions a circle.
            : record.Number == 0 || record.Parent >= record.Number ? $"says that snapshot {record.Number} comes from {record.Parent}"
            : MapGeometry.SizeFault(record.Size, root.ObjectSize) is { } size ? $"gives an impossible {size}"
            : !MapEntry.Of(record.Layer, false).IsSane ? $"gives an impossible layer, 0x{record.Layer:x}"
            : null;
        return why == null ? record : null;
    }
}
