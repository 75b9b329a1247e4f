using System.Buffers.Binary;
using System.Text;
using Archipelago.Runtime;

namespace Archipelago.Vlmcd.Format;

/// <summary>
/// The header of a volume: one block of 512 bytes, the object <c>v.NAME</c>, little-endian (layout in README.md). It is the authority on
/// the volume; it is written whole, with FUA, and one such write is the commit point of whatever changes a volume.
/// </summary>
public sealed record VolumeHeader
{
    /// <summary>Bytes of a header.</summary>
    public const int Bytes = 512;
    /// <summary>The layout that this build writes, and the only one that it reads.</summary>
    public const uint CurrentVersion = 1;
    /// <summary>Most objects of a volume (64 TiB in objects of 4 MiB): deleting a volume asks for each of them, whether it was ever written or not.</summary>
    public const ulong MaxObjects = 1ul << 24;

    /// <summary>Bytes of the largest volume: the most objects of the largest size.</summary>
    public const long MaxBytes = (long)MaxObjects * VlmcdOptions.MaxObjectSize;

    private const ulong Magic = 0x004C_4F56_4843_5241; // "ARCHVOL\0"

    /// <summary>Name of the volume, so that a header that was put under another name is seen.</summary>
    public required string Name { get; init; }
    /// <summary>Random identity, part of the names of the volume's objects.</summary>
    public required ulong Id { get; init; }
    /// <summary>Bytes of the volume, a positive multiple of 512.</summary>
    public required ulong Size { get; init; }
    /// <summary>Bytes of an object, a power of two from 4 KiB to 4 MiB.</summary>
    public required int ObjectSize { get; init; }
    /// <summary>
    /// End of what may hold data: bytes in [<see cref="Size"/>, TrimEnd) are left-overs of a larger past, all bytes from here on read
    /// as zeros. Equal to the size when nothing is left to trim.
    /// </summary>
    public required ulong TrimEnd { get; init; }
    /// <summary>Creation, nanoseconds since 1970 in UTC.</summary>
    public long Created { get; init; }
    /// <summary>Identity of the request that created the volume: its replay is answered 0 and not EEXIST.</summary>
    public UInt128 CreatedBy { get; init; }
    /// <summary>Writes of this header so far.</summary>
    public ulong Sequence { get; init; }

    /// <summary>Objects that the first <paramref name="bytes"/> bytes take.</summary>
    public static ulong ObjectsFor(ulong bytes, int objectSize) => (bytes + (ulong)objectSize - 1) / (ulong)objectSize;

    /// <summary>Null if a volume may have this size, else what is wrong.</summary>
    public static string? SizeFault(ulong size, int objectSize) =>
        size == 0 || size % 512 != 0 ? $"size {size}: expected a positive multiple of 512"
        : size > MaxObjects * (ulong)objectSize ? $"size {size}: at most {MaxObjects * (ulong)objectSize} bytes in objects of {objectSize}"
        : null;

    /// <summary>Writes the header to 512 bytes.</summary>
    public void Write(Span<byte> to)
    {
        to[..Bytes].Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(to, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(to[8..], CurrentVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(to[12..], Bytes);
        BinaryPrimitives.WriteUInt64LittleEndian(to[16..], Size);
        BinaryPrimitives.WriteUInt64LittleEndian(to[24..], TrimEnd);
        BinaryPrimitives.WriteInt32LittleEndian(to[32..], ObjectSize);
        BinaryPrimitives.WriteUInt64LittleEndian(to[40..], Id);
        BinaryPrimitives.WriteInt64LittleEndian(to[48..], Created);
        BinaryPrimitives.WriteUInt128LittleEndian(to[56..], CreatedBy);
        BinaryPrimitives.WriteUInt64LittleEndian(to[72..], Sequence);
        BinaryPrimitives.WriteUInt16LittleEndian(to[80..], (ushort)Name.Length);
        Encoding.ASCII.GetBytes(Name, to[82..]);
        Crc32C.Seal(to[..Bytes]);
    }

    /// <summary>Reads a header of the volume <paramref name="name"/>. The bytes may be anything.</summary>
    /// <exception cref="ErrnoException">EPROTO: no header, or one of another build; EIO: damaged. Nothing was changed.</exception>
    public static VolumeHeader Read(ReadOnlySpan<byte> from, string name)
    {
        from = from[..Bytes];
        ulong magic = BinaryPrimitives.ReadUInt64LittleEndian(from);
        if (magic != Magic) throw Refuse(name, Errno.EPROTO, $"is no volume header: it begins with 0x{magic:x16}");
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(from[8..]);
        if (version != CurrentVersion) throw Refuse(name, Errno.EPROTO, $"has layout version {version}, this build knows {CurrentVersion} only: use the build that wrote it");
        if (!Crc32C.IsSealed(from)) throw Refuse(name, Errno.EIO, "is damaged: its checksum does not agree; restore it from a copy of the object");

        ulong size = BinaryPrimitives.ReadUInt64LittleEndian(from[16..]);
        ulong trimEnd = BinaryPrimitives.ReadUInt64LittleEndian(from[24..]);
        int objectSize = BinaryPrimitives.ReadInt32LittleEndian(from[32..]);
        uint flags = BinaryPrimitives.ReadUInt32LittleEndian(from[36..]);
        int length = BinaryPrimitives.ReadUInt16LittleEndian(from[80..]);
        if (BinaryPrimitives.ReadUInt32LittleEndian(from[12..]) != Bytes) throw Refuse(name, Errno.EPROTO, "gives itself a length other than 512");
        if (!VlmcdOptions.IsObjectSize(objectSize)) throw Refuse(name, Errno.EPROTO, $"gives an impossible object size, {objectSize}");
        if (SizeFault(size, objectSize) is { } fault) throw Refuse(name, Errno.EPROTO, $"gives an impossible {fault}");
        if (trimEnd < size || SizeFault(trimEnd, objectSize) != null) throw Refuse(name, Errno.EPROTO, $"gives an impossible end of trim, {trimEnd}, for size {size}");
        if (flags != 0) throw Refuse(name, Errno.EPROTO, $"has flags that this build does not know, 0x{flags:x}");
        if (length > VolumeName.MaxLength || !from.Slice(82, length).SequenceEqual(Encoding.ASCII.GetBytes(name)))
            throw Refuse(name, Errno.EPROTO, "belongs to a volume of another name");

        return new VolumeHeader
        {
            Name = name,
            Size = size,
            TrimEnd = trimEnd,
            ObjectSize = objectSize,
            Id = BinaryPrimitives.ReadUInt64LittleEndian(from[40..]),
            Created = BinaryPrimitives.ReadInt64LittleEndian(from[48..]),
            CreatedBy = BinaryPrimitives.ReadUInt128LittleEndian(from[56..]),
            Sequence = BinaryPrimitives.ReadUInt64LittleEndian(from[72..]),
        };
    }

    private static ErrnoException Refuse(string name, int errno, string what) => new(errno, $"volume {name}: object v.{name} {what}");
}
