using System.Runtime.InteropServices;

namespace Archipelago.Xseg.Layout;

/// <summary>
/// One entry of the page table (32 bytes). Only the page's owner writes it; the fields behind the word mean something only
/// in the states in which that owner uses them (design 3.1: all fields first, then the word commits).
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = Size)]
public struct PageEntry
{
    /// <summary>Bytes in an entry.</summary>
    public const int Size = 32;

    /// <summary>The owner word, see <see cref="PageWord"/>.</summary>
    [FieldOffset(0)] public ulong Word;
    /// <summary>
    /// State Cache: rises per shard with each adoption, of two pages of one bucket the higher one is the newer. State Slot, of a page
    /// given in exchange: the page generation (high half) and the giving port + 1 (low half); then <see cref="Object"/> is the
    /// index in the slot's list that it is for, and <see cref="Checksum"/> the slot's generation.
    /// </summary>
    [FieldOffset(8)] public ulong Sequence;
    /// <summary>Object table index.</summary>
    [FieldOffset(16)] public uint Object;
    /// <summary>4 KiB slice of the object.</summary>
    [FieldOffset(20)] public ushort Bucket;
    /// <summary>Flow table index, low 16 bits (the table has at most 65,536 entries).</summary>
    [FieldOffset(22)] public ushort Flow;
    /// <summary>The four masks as one word, see <see cref="SectorMasks"/>: one store changes all of them.</summary>
    [FieldOffset(24)] public uint Masks;
    /// <summary>CRC-32C of the page's valid sectors, or 0 where the flow does not ask for it.</summary>
    [FieldOffset(28)] public uint Checksum;

    /// <summary>True if the masks have a sector that the blocker does not hold stably: dirty, or written.</summary>
    public readonly bool IsUnstable => (Masks & 0x00FF_FF00) != 0;
}

/// <summary>
/// The masks of a cached page, one bit per 512 B sector. Valid: holds data. Dirty: newer than the blocker. Written: in the
/// blocker, not yet stable. A sector that is valid and neither dirty nor written is stable.
/// </summary>
public readonly record struct SectorMasks(byte Valid, byte Dirty, byte Written, byte Mark)
{
    /// <summary>The page is changed in place by the slot named in its sequence; unreadable until that is replayed.</summary>
    public const byte Modifying = 1;
    /// <summary>
    /// The page was dirty when its entry, or its object's, was found damaged: what it holds is neither read nor destaged, and kept until an
    /// operator discards it (<c>segment fsck --repair --discard-dirty</c>).
    /// </summary>
    public const byte Quarantined = 2;

    /// <summary>In quarantine: marked, and dirty in some sector, so that everything that looks for dirty pages finds it.</summary>
    public SectorMasks InQuarantine() => this with { Dirty = Dirty == 0 ? byte.MaxValue : Dirty, Mark = Quarantined };

    /// <summary>As the word of <see cref="PageEntry.Masks"/>.</summary>
    public uint Packed => (uint)(Valid | (Dirty << 8) | (Written << 16) | (Mark << 24));

    /// <summary>From the word of <see cref="PageEntry.Masks"/>.</summary>
    public static SectorMasks From(uint packed) => new((byte)packed, (byte)(packed >> 8), (byte)(packed >> 16), (byte)(packed >> 24));

    /// <summary>Bits of the sectors that the bytes [start, end) of a page touch; 0 ≤ start &lt; end ≤ 4,096, both multiples of 512.</summary>
    public static byte Range(int start, int end) => (byte)((1 << (end >> 9)) - (1 << (start >> 9)));
}
