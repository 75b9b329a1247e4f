using Archipelago.Maps;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Mapperd.Format;

/// <summary>State of a record of the catalogue.</summary>
internal enum RecordState : uint
{
    /// <summary>May be used.</summary>
    Free = 0,
    /// <summary>The volume is being made: it exists if its name names it.</summary>
    Creating = 1,
    /// <summary>A volume.</summary>
    Live = 2,
    /// <summary>The volume is gone if its root says so; what is left of it is being deleted.</summary>
    Deleting = 3,
}

/// <summary>
/// One record of the catalogue (layout in README.md): it lists a volume, and says which snapshot it was cloned from. The volume's root is the authority
/// on all of it; the record is what finds the volume.
/// </summary>
internal sealed record CatalogueRecord
{
    private const ulong Magic = 0x0054_4143_4843_5241; // "ARCHCAT\0"
    private const uint CurrentVersion = 2;
    private const uint AloneFlag = 1;

    internal required RecordState State { get; init; }
    internal required ulong Id { get; init; }
    internal required string Name { get; init; }
    /// <summary>As last heard of.</summary>
    internal required ulong Size { get; init; }
    internal required int ObjectSize { get; init; }
    internal required long Created { get; init; }
    internal ulong BaseVolume { get; init; }
    internal ulong BaseSnapshot { get; init; }
    /// <summary>
    /// The record was lost, and written again without a look at what else was lost: clones of the volume may be in no record. Until the collector has listed all volumes nobody knows.
    /// </summary>
    internal bool IsAlone { get; init; }

    internal static CatalogueRecord Of(VolumeRoot root, RecordState state) => new()
    {
        State = state,
        Id = root.Id,
        Name = root.Name,
        Size = root.Size,
        ObjectSize = root.ObjectSize,
        Created = root.Created,
        BaseVolume = root.BaseVolume,
        BaseSnapshot = root.BaseSnapshot,
    };

    /// <summary>The record of the same volume as its root is now.</summary>
    internal CatalogueRecord As(VolumeRoot root, RecordState state) => Of(root, state) with { IsAlone = IsAlone };

    internal byte[] ToSector()
    {
        var to = new byte[Sector.Bytes];
        if (State == RecordState.Free) return to;
        Sector.Begin(to, Magic, CurrentVersion);
        Sector.U32(to, 12, (uint)State);
        Sector.U64(to, 16, Id);
        Sector.U64(to, 24, Size);
        Sector.U32(to, 32, (uint)ObjectSize);
        Sector.U32(to, 36, IsAlone ? AloneFlag : 0);
        Sector.U64(to, 40, (ulong)Created);
        Sector.U64(to, 48, BaseVolume);
        Sector.U64(to, 56, BaseSnapshot);
        Sector.Name(to, 64, Name);
        Crc32C.Seal(to);
        return to;
    }

    /// <summary>Null for a free record, and with a reason for one that makes no sense. The bytes may be anything.</summary>
    internal static CatalogueRecord? Read(ReadOnlySpan<byte> from, out string? why)
    {
        why = null;
        if (Sector.IsZero(from)) return null;
        if (Sector.Fault(from, Magic, CurrentVersion, "record of the catalogue") is { } fault)
        {
            why = fault.What;
            return null;
        }

        var state = (RecordState)Sector.U32(from, 12);
        string? name = Sector.Name(from, 64);
        ulong size = Sector.U64(from, 24);
        int objectSize = (int)Sector.U32(from, 32);
        uint flags = Sector.U32(from, 36);
        why = state is < RecordState.Creating or > RecordState.Deleting ? $"gives an impossible state, {state}"
            : name == null ? "gives an impossible name"
            : (flags & ~AloneFlag) != 0 ? $"has flags that this build does not know, 0x{flags:x}"
            : !MapperdOptions.IsObjectSize(objectSize) || MapGeometry.SizeFault(size, objectSize) != null ? $"gives an impossible size, {size} in objects of {objectSize}"
            : null;
        return why != null ? null : new CatalogueRecord
        {
            State = state,
            Id = Sector.U64(from, 16),
            Name = name!,
            Size = size,
            ObjectSize = objectSize,
            Created = (long)Sector.U64(from, 40),
            BaseVolume = Sector.U64(from, 48),
            BaseSnapshot = Sector.U64(from, 56),
            IsAlone = (flags & AloneFlag) != 0,
        };
    }
}
