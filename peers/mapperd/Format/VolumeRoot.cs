using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Mapperd.Format;

/// <summary>
/// The root of a volume, sector 0 of object <c>v.ID</c> (layout in README.md): its write, by compare-and-swap, is the commit point of every change of the
/// volume's structure.
/// </summary>
internal sealed record VolumeRoot
{
    /// <summary>The layout that this build writes, and the only one that it reads.</summary>
    internal const uint CurrentVersion = 2;

    private const ulong Magic = 0x004c_4f56_4843_5241; // "ARCHVOL\0"
    private const uint DeletedFlag = 1;

    /// <summary>Identity of the volume, never used again.</summary>
    internal required ulong Id { get; init; }
    /// <summary>Name of the volume.</summary>
    internal required string Name { get; init; }
    /// <summary>Bytes of the head.</summary>
    internal required ulong Size { get; init; }
    /// <summary>Bytes of an object.</summary>
    internal required int ObjectSize { get; init; }
    /// <summary>The own layer: all writes go there.</summary>
    internal required ulong Layer { get; init; }
    /// <summary>Generation of the head's directory.</summary>
    internal required ulong Generation { get; init; }
    /// <summary>Snapshot from which the head has come, 0 for none of this volume.</summary>
    internal ulong Parent { get; init; }
    /// <summary>Number of the next snapshot; a record of this or a higher number was never committed.</summary>
    internal ulong NextSnapshot { get; init; } = 1;
    /// <summary>Sectors behind the root that may hold a snapshot.</summary>
    internal int Slots { get; init; }
    /// <summary>Volume whose snapshot this one was cloned from, 0 for none.</summary>
    internal ulong BaseVolume { get; init; }
    /// <summary>Number of that snapshot.</summary>
    internal ulong BaseSnapshot { get; init; }
    /// <summary>Epoch of the lock at the last open for writing.</summary>
    internal ulong Epoch { get; init; }
    /// <summary>Writes of this sector.</summary>
    internal ulong Sequence { get; init; }
    /// <summary>Creation, nanoseconds since 1970 in UTC.</summary>
    internal long Created { get; init; }
    /// <summary>Identity of the request that created the volume.</summary>
    internal UInt128 CreatedBy { get; init; }
    /// <summary>Identity of the request that changed its structure last: its replay is answered as it was.</summary>
    internal UInt128 ChangedBy { get; init; }
    /// <summary>The volume is gone; what is left of it is being deleted.</summary>
    internal bool IsDeleted { get; init; }

    internal static byte[] ObjectOf(ulong id) => System.Text.Encoding.ASCII.GetBytes($"v.{id:x16}");

    internal byte[] ToSector()
    {
        var to = new byte[Sector.Bytes];
        Sector.Begin(to, Magic, CurrentVersion);
        Sector.U32(to, 12, IsDeleted ? DeletedFlag : 0);
        Sector.U64(to, 16, Id);
        Sector.U64(to, 24, Size);
        Sector.U32(to, 32, (uint)ObjectSize);
        Sector.U32(to, 36, (uint)Slots);
        Sector.U64(to, 40, Layer);
        Sector.U64(to, 48, Generation);
        Sector.U64(to, 56, Parent);
        Sector.U64(to, 64, NextSnapshot);
        Sector.U64(to, 72, BaseVolume);
        Sector.U64(to, 80, BaseSnapshot);
        Sector.U64(to, 88, Epoch);
        Sector.U64(to, 96, Sequence);
        Sector.U64(to, 104, (ulong)Created);
        Sector.U128(to, 112, CreatedBy);
        Sector.U128(to, 128, ChangedBy);
        Sector.Name(to, 144, Name);
        Crc32C.Seal(to);
        return to;
    }

    /// <summary>True of a sound root that a newer build wrote: of another layout, or with flags that this one does not know.</summary>
    internal static bool IsOfOtherBuild(ReadOnlySpan<byte> from) =>
        Sector.IsOfOtherBuild(from, Magic, CurrentVersion) || (Sector.Fault(from, Magic, CurrentVersion, "") == null && (Sector.U32(from, 12) & ~DeletedFlag) != 0);

    /// <summary>Reads the root of volume <paramref name="id"/>. The bytes may be anything.</summary>
    /// <exception cref="ErrnoException">EPROTO: no root, or one of another build; EIO: damaged. Nothing was changed.</exception>
    internal static VolumeRoot Read(ReadOnlySpan<byte> from, ulong id)
    {
        if (Sector.Fault(from, Magic, CurrentVersion, "volume's header") is { } fault) throw Refuse(id, fault.Errno, fault.What);
        string? name = Sector.Name(from, 144);
        uint flags = Sector.U32(from, 12);
        var root = new VolumeRoot
        {
            Id = Sector.U64(from, 16),
            Name = name ?? "",
            Size = Sector.U64(from, 24),
            ObjectSize = (int)Sector.U32(from, 32),
            Slots = (int)Sector.U32(from, 36),
            Layer = Sector.U64(from, 40),
            Generation = Sector.U64(from, 48),
            Parent = Sector.U64(from, 56),
            NextSnapshot = Sector.U64(from, 64),
            BaseVolume = Sector.U64(from, 72),
            BaseSnapshot = Sector.U64(from, 80),
            Epoch = Sector.U64(from, 88),
            Sequence = Sector.U64(from, 96),
            Created = (long)Sector.U64(from, 104),
            CreatedBy = Sector.U128(from, 112),
            ChangedBy = Sector.U128(from, 128),
            IsDeleted = (flags & DeletedFlag) != 0,
        };
        if (name == null) throw Refuse(id, Errno.EPROTO, "gives the volume an impossible name");
        if (root.Id != id) throw Refuse(id, Errno.EPROTO, $"belongs to another volume, {root.Id:x16}");
        if ((flags & ~DeletedFlag) != 0) throw Refuse(id, Errno.EPROTO, $"has flags that this build does not know, 0x{flags:x}");
        if (!MapperdOptions.IsObjectSize(root.ObjectSize)) throw Refuse(id, Errno.EPROTO, $"gives an impossible object size, {root.ObjectSize}");
        if (MapGeometry.SizeFault(root.Size, root.ObjectSize) is { } size) throw Refuse(id, Errno.EPROTO, $"gives an impossible {size}");
        if (!MapEntry.Of(root.Layer, false).IsSane) throw Refuse(id, Errno.EPROTO, $"gives an impossible layer, 0x{root.Layer:x}");
        if (root.Slots is < 0 or > SnapshotRecord.MaxSlots) throw Refuse(id, Errno.EPROTO, $"gives an impossible number of snapshots, {root.Slots}");
        if (root.Parent >= root.NextSnapshot) throw Refuse(id, Errno.EPROTO, $"comes from snapshot {root.Parent}, which was never made");
        if (root.BaseVolume == id) throw Refuse(id, Errno.EPROTO, "says that the volume is a clone of itself");
        return root;
    }

    private static ErrnoException Refuse(ulong id, int errno, string what) => new(errno, $"volume {id:x16}: its header, object v.{id:x16}, {what}");
}
