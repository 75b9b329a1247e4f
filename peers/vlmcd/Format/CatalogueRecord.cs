using System.Buffers.Binary;
using System.Text;

namespace Archipelago.Vlmcd.Format;

/// <summary>State of a record of the catalogue.</summary>
public enum RecordState : uint
{
    /// <summary>May be used.</summary>
    Free = 0,
    /// <summary>The volume's header is about to be written: the volume exists if it is there.</summary>
    Creating = 1,
    /// <summary>A volume.</summary>
    Live = 2,
    /// <summary>The volume is gone; its header and objects are being deleted.</summary>
    Deleting = 3,
}

/// <summary>
/// One record of the catalogue: a block of 512 bytes, little-endian (layout in README.md), which a store writes whole or not at all.
/// It lists a volume; the volume's header is the authority on all but <see cref="RecordState.Deleting"/>.
/// </summary>
public sealed record CatalogueRecord
{
    /// <summary>Bytes of a record.</summary>
    public const int Bytes = 512;
    /// <summary>The layout that this build writes, and the only one that it reads.</summary>
    public const uint CurrentVersion = 1;

    private const ulong Magic = 0x0054_4143_4843_5241; // "ARCHCAT\0"

    /// <summary>State.</summary>
    public required RecordState State { get; init; }
    /// <summary>Name of the volume; empty in a free record.</summary>
    public required string Name { get; init; }
    /// <summary>Identity of the volume.</summary>
    public ulong Id { get; init; }
    /// <summary>Live: the size as last heard of. Deleting: the end of what may hold data.</summary>
    public ulong Size { get; init; }
    /// <summary>Bytes of an object.</summary>
    public int ObjectSize { get; init; }
    /// <summary>Creation, nanoseconds since 1970 in UTC.</summary>
    public long Created { get; init; }

    /// <summary>A record that may be used.</summary>
    public static CatalogueRecord Free { get; } = new() { State = RecordState.Free, Name = "" };

    /// <summary>Writes the record to 512 bytes.</summary>
    public void Write(Span<byte> to)
    {
        to[..Bytes].Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(to, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(to[8..], CurrentVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(to[12..], (uint)State);
        BinaryPrimitives.WriteUInt64LittleEndian(to[16..], Id);
        BinaryPrimitives.WriteUInt64LittleEndian(to[24..], Size);
        BinaryPrimitives.WriteInt32LittleEndian(to[32..], ObjectSize);
        BinaryPrimitives.WriteInt64LittleEndian(to[40..], Created);
        BinaryPrimitives.WriteUInt16LittleEndian(to[48..], (ushort)Name.Length);
        Encoding.ASCII.GetBytes(Name, to[50..]);
        Crc32C.Seal(to[..Bytes]);
    }

    /// <summary>Reads a record; the bytes may be anything. Null, with the reason, if they are none. All zeros are a free record.</summary>
    public static CatalogueRecord? Read(ReadOnlySpan<byte> from, out string why)
    {
        from = from[..Bytes];
        why = "";
        if (!from.ContainsAnyExcept((byte)0)) return Free;
        if (BinaryPrimitives.ReadUInt64LittleEndian(from) != Magic) return Refuse("it is no record", out why);
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(from[8..]);
        if (version != CurrentVersion) return Refuse($"it has layout version {version}, this build knows {CurrentVersion} only", out why);
        if (!Crc32C.IsSealed(from)) return Refuse("its checksum does not agree", out why);
        var state = (RecordState)BinaryPrimitives.ReadUInt32LittleEndian(from[12..]);
        if (state == RecordState.Free) return Free;
        ulong size = BinaryPrimitives.ReadUInt64LittleEndian(from[24..]);
        int objectSize = BinaryPrimitives.ReadInt32LittleEndian(from[32..]);
        int length = BinaryPrimitives.ReadUInt16LittleEndian(from[48..]);
        if (state > RecordState.Deleting) return Refuse($"its state is {state}", out why);
        if (length > VolumeName.MaxLength || !VolumeName.IsValid(from.Slice(50, length))) return Refuse("its name is no volume's", out why);
        if (!VlmcdOptions.IsObjectSize(objectSize) || VolumeHeader.SizeFault(size, objectSize) != null) return Refuse($"its size {size} in objects of {objectSize} is impossible", out why);
        return new CatalogueRecord
        {
            State = state,
            Name = Encoding.ASCII.GetString(from.Slice(50, length)),
            Id = BinaryPrimitives.ReadUInt64LittleEndian(from[16..]),
            Size = size,
            ObjectSize = objectSize,
            Created = BinaryPrimitives.ReadInt64LittleEndian(from[40..]),
        };
    }

    private static CatalogueRecord? Refuse(string reason, out string why)
    {
        why = reason;
        return null;
    }
}
