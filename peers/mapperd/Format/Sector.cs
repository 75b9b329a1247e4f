using System.Buffers.Binary;
using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Mapperd.Format;

/// <summary>
/// What all records of one sector have in common: magic, version, checksum, a name. A sector is written whole or not at all, by every store.
/// </summary>
internal static class Sector
{
    internal const int Bytes = MapGeometry.SectorBytes;

    internal static ulong U64(ReadOnlySpan<byte> from, int at) => BinaryPrimitives.ReadUInt64LittleEndian(from[at..]);
    internal static uint U32(ReadOnlySpan<byte> from, int at) => BinaryPrimitives.ReadUInt32LittleEndian(from[at..]);
    internal static void U64(Span<byte> to, int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(to[at..], value);
    internal static void U32(Span<byte> to, int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(to[at..], value);

    internal static UInt128 U128(ReadOnlySpan<byte> from, int at) => BinaryPrimitives.ReadUInt128LittleEndian(from[at..]);
    internal static void U128(Span<byte> to, int at, UInt128 value) => BinaryPrimitives.WriteUInt128LittleEndian(to[at..], value);

    /// <summary>Two bytes of length, then the name.</summary>
    internal static void Name(Span<byte> to, int at, string name)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(to[at..], (ushort)name.Length);
        Encoding.ASCII.GetBytes(name, to[(at + 2)..]);
    }

    /// <summary>The name, or null if it is none.</summary>
    internal static string? Name(ReadOnlySpan<byte> from, int at)
    {
        int length = BinaryPrimitives.ReadUInt16LittleEndian(from[at..]);
        return length <= VolumeName.MaxLength && VolumeName.IsValid(from.Slice(at + 2, length)) ? Encoding.ASCII.GetString(from.Slice(at + 2, length)) : null;
    }

    internal static void Begin(Span<byte> to, ulong magic, uint version)
    {
        to[..Bytes].Clear();
        U64(to, 0, magic);
        U32(to, 8, version);
    }

    internal static bool IsZero(ReadOnlySpan<byte> sector) => !sector.ContainsAnyExcept((byte)0);

    /// <summary>True of a sector of this magic that is undamaged, and in another layout: whoever wrote it can read it.</summary>
    internal static bool IsOfOtherBuild(ReadOnlySpan<byte> from, ulong magic, uint version) => U64(from, 0) == magic && U32(from, 8) != version && Crc32C.IsSealed(from[..Bytes]);

    /// <summary>Null if the sector is one of this magic and version, undamaged; else the errno and what is wrong.</summary>
    internal static (int Errno, string What)? Fault(ReadOnlySpan<byte> from, ulong magic, uint version, string what)
    {
        if (U64(from, 0) != magic) return (Errno.EPROTO, $"is no {what}: it begins with 0x{U64(from, 0):x16}");
        if (U32(from, 8) != version) return (Errno.EPROTO, $"has layout version {U32(from, 8)}, this build knows {version} only: use the build that wrote it");
        return Crc32C.IsSealed(from[..Bytes]) ? null : (Errno.EIO, "is damaged: its checksum does not agree; restore it from a copy of the object");
    }
}
