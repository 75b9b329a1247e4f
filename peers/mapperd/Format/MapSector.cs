using Archipelago.Maps;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Mapperd.Format;

/// <summary>
/// A sector of a chunk or of a directory: 62 words of 8 bytes, whose it is, its number, a checksum (layout in README.md). Damage of one is confined to its
/// 62 entries.
/// </summary>
internal static class MapSector
{
    private const int OwnerAt = MapGeometry.SectorEntries * 8, NumberAt = OwnerAt + 8;

    /// <summary>Seals a sector whose entries are in place.</summary>
    internal static void Seal(Span<byte> sector, ulong owner, int number)
    {
        Sector.U64(sector, OwnerAt, owner);
        Sector.U32(sector, NumberAt, (uint)number);
        Crc32C.Seal(sector);
    }

    /// <summary>Whether the sector is the one that it should be, as it was written.</summary>
    internal static bool IsSound(ReadOnlySpan<byte> sector, ulong owner, int number) =>
        Crc32C.IsSealed(sector) && Sector.U64(sector, OwnerAt) == owner && Sector.U32(sector, NumberAt) == (uint)number;

    internal static MapEntry Get(ReadOnlySpan<byte> sector, int index)
    {
        var entry = new MapEntry(Sector.U64(sector, index * 8));
        return entry.IsSane ? entry : MapEntry.Damaged;
    }

    internal static void Set(Span<byte> sector, int index, MapEntry entry) => Sector.U64(sector, index * 8, entry.Value);
}
