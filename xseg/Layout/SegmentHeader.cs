using System.Runtime.InteropServices;

namespace Archipelago.Xseg.Layout;

/// <summary>
/// The first page of a segment (4,096 bytes, little-endian). Everything up to <see cref="Checksum"/> is written once at
/// creation and never again; each process copies it at join, checks it, and from then on trusts only its copy.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 4096)]
public struct SegmentHeader
{
    /// <summary>"XSEGARCH" read as a little-endian 64-bit number.</summary>
    public const ulong MagicValue = 0x4843_5241_4745_5358;

    /// <summary>The only layout that this build knows. Another one is refused and left untouched.</summary>
    public const uint CurrentLayout = 1;

    /// <summary><see cref="MagicValue"/>.</summary>
    [FieldOffset(0)] public ulong Magic;
    /// <summary><see cref="CurrentLayout"/>.</summary>
    [FieldOffset(8)] public uint LayoutVersion;
    /// <summary>Size of this header, 4,096 bytes.</summary>
    [FieldOffset(12)] public uint HeaderSize;
    /// <summary>Random identity of this segment, low half; a re-created segment has another one.</summary>
    [FieldOffset(16)] public ulong CreationIdLow;
    /// <summary>Random identity of this segment, high half.</summary>
    [FieldOffset(24)] public ulong CreationIdHigh;
    /// <summary>Size of the file in bytes.</summary>
    [FieldOffset(32)] public ulong TotalSize;
    /// <summary>Bytes in a page: 4,096.</summary>
    [FieldOffset(40)] public uint PageSize;
    /// <summary>Bytes in a request slot: <see cref="RequestSlot.Size"/>.</summary>
    [FieldOffset(44)] public uint SlotSize;
    /// <summary>Ports in the table, 2 to 64.</summary>
    [FieldOffset(48)] public uint PortCount;
    /// <summary>Request slots that belong to each port, a power of two, 16 to 65,536.</summary>
    [FieldOffset(52)] public uint SlotsPerPort;
    /// <summary>Entries in a ring, a power of two, at least <see cref="SlotsPerPort"/>.</summary>
    [FieldOffset(56)] public uint RingCapacity;
    /// <summary>Entries of the route table.</summary>
    [FieldOffset(60)] public uint RouteCount;
    /// <summary>Entries of the flow table; entry 0 is "no flow".</summary>
    [FieldOffset(64)] public uint FlowCount;
    /// <summary>Entries of the object table; entry 0 is never used.</summary>
    [FieldOffset(68)] public uint ObjectCount;
    /// <summary>Entries of the session table (for synapsed).</summary>
    [FieldOffset(72)] public uint SessionCount;
    /// <summary>Pages that the tables and the address space are laid out for; page 0 is the zero page.</summary>
    [FieldOffset(76)] public uint PageCountMax;
    /// <summary>Offset of the port table.</summary>
    [FieldOffset(80)] public ulong PortsOffset;
    /// <summary>Offset of the rings: link (client, server) is number client × ports + server.</summary>
    [FieldOffset(88)] public ulong LinksOffset;
    /// <summary>Bytes from one link to the next.</summary>
    [FieldOffset(96)] public ulong LinkStride;
    /// <summary>Offset of the route table.</summary>
    [FieldOffset(104)] public ulong RoutesOffset;
    /// <summary>Offset of the flow table.</summary>
    [FieldOffset(112)] public ulong FlowsOffset;
    /// <summary>Offset of the object table.</summary>
    [FieldOffset(120)] public ulong ObjectsOffset;
    /// <summary>Offset of the session table.</summary>
    [FieldOffset(128)] public ulong SessionsOffset;
    /// <summary>Offset of the request slots.</summary>
    [FieldOffset(136)] public ulong SlotsOffset;
    /// <summary>Offset of the page table.</summary>
    [FieldOffset(144)] public ulong PageTableOffset;
    /// <summary>Offset of the pages, a multiple of 2 MiB so that huge pages fit.</summary>
    [FieldOffset(152)] public ulong PagesOffset;
    /// <summary>CRC-32C of bytes 0 to 159.</summary>
    [FieldOffset(160)] public uint Checksum;

    /// <summary>Bytes that <see cref="Checksum"/> covers.</summary>
    public const int ChecksummedBytes = 160;

    /// <summary>Pages that are backed by memory, from page 0 on. Grows and shrinks by chunks; never above <see cref="PageCountMax"/>.</summary>
    [FieldOffset(192)] public uint PagesCommitted;
    /// <summary><see cref="SegmentState"/>: becomes Ready in the last store of the creation.</summary>
    [FieldOffset(256)] public uint State;
    /// <summary>The loan epoch (design 3.1): raised by whoever drains a limbo; stamped into each slot when it is allocated.</summary>
    [FieldOffset(320)] public ulong Epoch;
    /// <summary>Deaths of peers in a row within seconds of their start; two stop restarts.</summary>
    [FieldOffset(384)] public uint QuickDeaths;
    /// <summary>Process of the last one that was counted: its other ports died the same death.</summary>
    [FieldOffset(388)] public uint QuickDeathProcess;
    /// <summary>CLOCK_BOOTTIME nanoseconds of its last sign of life.</summary>
    [FieldOffset(392)] public ulong QuickDeathAt;
    /// <summary>Its port.</summary>
    [FieldOffset(400)] public uint QuickDeathPort;
    /// <summary>Inode number of the file <c>locks</c> that the segment was made with; 0 if unknown. Under another file the living would look dead.</summary>
    [FieldOffset(408)] public ulong LocksInode;
}

/// <summary>Where a segment stands in its life.</summary>
public enum SegmentState : uint
{
    /// <summary>Creation has not finished: the creator died or is still at it.</summary>
    Creating = 0,
    /// <summary>In use.</summary>
    Ready = 1,
    /// <summary>Being destroyed; nobody may join any more.</summary>
    Destroyed = 2,
}
