using Archipelago.Xseg;

namespace Archipelago.Maps;

/// <summary>
/// An entry of a map, 8 bytes: in which layer an object is (56 bits), and whether it exists for sure. As a word of a directory: in which
/// layer a chunk is, and whether it exists; if not, each of its entries is one of that layer that may exist.
/// </summary>
public readonly record struct MapEntry(ulong Value)
{
    private const ulong LayerMask = (1ul << 56) - 1, PresentBit = 1ul << 56;

    /// <summary>What a reader of a damaged part of a map gets: no layer has this id.</summary>
    public static readonly MapEntry Damaged = new(ulong.MaxValue);

    /// <summary>Largest id of a layer; 0 is none.</summary>
    public const ulong MaxLayer = LayerMask - 1;

    /// <summary>An object (or chunk) of <paramref name="layer"/>.</summary>
    public static MapEntry Of(ulong layer, bool isPresent) => new(layer | (isPresent ? PresentBit : 0));

    /// <summary>Id of the layer.</summary>
    public ulong Layer => Value & LayerMask;
    /// <summary>The object exists. Otherwise it may, and reads as zeros if it does not.</summary>
    public bool IsPresent => (Value & PresentBit) != 0;
    /// <summary>Nobody knows.</summary>
    public bool IsDamaged => Value == ulong.MaxValue;
    /// <summary>Possible: a layer, and no bit that this build does not know.</summary>
    public bool IsSane => (Value & ~(LayerMask | PresentBit)) == 0 && Layer is > 0 and <= MaxLayer;

    /// <summary>An id for a layer from 64 bits that nobody has had before.</summary>
    public static ulong LayerFrom(ulong random) => random % MaxLayer + 1;
}

/// <summary>How maps are cut: by sectors of 62 entries, chunks of 128 sectors.</summary>
public static class MapGeometry
{
    /// <summary>Bytes of a sector.</summary>
    public const int SectorBytes = 512;
    /// <summary>Entries in a sector.</summary>
    public const int SectorEntries = 62;
    /// <summary>Sectors of a chunk.</summary>
    public const int ChunkSectors = 128;
    /// <summary>Entries of a chunk: 31 GiB in objects of 4 MiB.</summary>
    public const int ChunkEntries = SectorEntries * ChunkSectors;
    /// <summary>Bytes of a chunk.</summary>
    public const int ChunkBytes = SectorBytes * ChunkSectors;
    /// <summary>Most objects of a volume: 64 TiB of 4 MiB.</summary>
    public const ulong MaxObjects = 1ul << 24;

    /// <summary>Objects that the first <paramref name="bytes"/> bytes take.</summary>
    public static ulong ObjectsFor(ulong bytes, int objectSize) => bytes / (uint)objectSize + (bytes % (uint)objectSize != 0 ? 1u : 0u);

    /// <summary>Chunks that this many objects take.</summary>
    public static int ChunksFor(ulong objects) => (int)((objects + ChunkEntries - 1) / ChunkEntries);

    /// <summary>Null if a volume may have this size, else what is wrong.</summary>
    public static string? SizeFault(ulong size, int objectSize) =>
        size == 0 || size % 512 != 0 ? $"size {size}: expected a positive multiple of 512"
        : size > MaxObjects * (ulong)objectSize ? $"size {size}: at most {MaxObjects * (ulong)objectSize} bytes in objects of {objectSize}"
        : null;
}
