using System.Runtime.InteropServices;

namespace Archipelago.Xseg.Layout;

/// <summary>
/// One request (1,088 bytes, seventeen cache lines, of which the first two are hot; an odd number, so that the hot lines of
/// different slots fall into different cache sets). The issuer fills it, the holder answers it.
/// Slot numbers tell the issuer: port = slot / slots-per-port.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = Size)]
public unsafe struct RequestSlot
{
    /// <summary>Bytes in a slot.</summary>
    public const int Size = 1088;
    /// <summary>Longest target name in bytes.</summary>
    public const int MaxTarget = 256;
    /// <summary>Extents inside the slot: requests of up to 96 KiB (92 KiB if misaligned) need no indirect page.</summary>
    public const int InlineExtents = 24;
    /// <summary>Extents in one indirect page.</summary>
    public const int ExtentsPerIndirect = 512;
    /// <summary>Indirect pages of a slot.</summary>
    public const int MaxIndirect = 3;
    /// <summary>Most bytes that one request carries: 4 MiB, one object.</summary>
    public const int MaxData = 4 << 20;
    /// <summary>Most extents of one request: 4 MiB that start inside a page.</summary>
    public const int MaxExtents = (MaxData / 4096) + 1;
    /// <summary>Ports remembered in <see cref="Path"/>.</summary>
    public const int MaxPath = 8;

    /// <summary>The owner word, see <see cref="SlotWord"/>.</summary>
    [FieldOffset(0)] public ulong Word;
    /// <summary><see cref="XsegOp"/>.</summary>
    [FieldOffset(8)] public byte Op;
    /// <summary><see cref="ReplyFlags"/>, written by the holder.</summary>
    [FieldOffset(9)] public byte Reply;
    /// <summary><see cref="RequestFlags"/>.</summary>
    [FieldOffset(10)] public ushort Flags;
    /// <summary>0 or a positive errno, written by the holder before the reply.</summary>
    [FieldOffset(12)] public uint Status;
    /// <summary>Byte offset in the target.</summary>
    [FieldOffset(16)] public ulong Offset;
    /// <summary>Bytes asked for; for TRUNCATE the new size.</summary>
    [FieldOffset(24)] public ulong Length;
    /// <summary>Loan epoch in which the slot was allocated.</summary>
    [FieldOffset(32)] public ulong Epoch;
    /// <summary>128-bit hash of the target name, low half.</summary>
    [FieldOffset(40)] public ulong HashLow;
    /// <summary>128-bit hash of the target name, high half.</summary>
    [FieldOffset(48)] public ulong HashHigh;
    /// <summary>Flow table index: volume and namespace that the request belongs to.</summary>
    [FieldOffset(56)] public uint Flow;
    /// <summary>Bytes of <see cref="Target"/>.</summary>
    [FieldOffset(60)] public ushort TargetLength;
    /// <summary>Times that a successor was handed this request to run it again; with the third death of a holder it fails with EIO.</summary>
    [FieldOffset(62)] public byte Attempts;
    /// <summary>Entries of <see cref="Path"/>.</summary>
    [FieldOffset(63)] public byte PathLength;

    /// <summary>Slot whose extents hold the data: this one, or the ancestor whose pages this request borrows.</summary>
    [FieldOffset(64)] public uint RootSlot;
    /// <summary>Generation of <see cref="RootSlot"/>.</summary>
    [FieldOffset(68)] public uint RootGeneration;
    /// <summary>First extent of this request in the root's list.</summary>
    [FieldOffset(72)] public ushort RootFirst;
    /// <summary>Extents in this slot's own list (only in a root).</summary>
    [FieldOffset(74)] public ushort ExtentCount;
    /// <summary>Request that this one is part of; <see cref="SlotWord.NoSlot"/> if none.</summary>
    [FieldOffset(76)] public uint Parent;
    /// <summary>Generation of <see cref="Parent"/>.</summary>
    [FieldOffset(80)] public uint ParentGeneration;
    /// <summary>Bytes of <see cref="Source"/>; 0 if none.</summary>
    [FieldOffset(84)] public uint SourceLength;
    /// <summary>Bytes done, or an op's numeric result (INFO: the size).</summary>
    [FieldOffset(88)] public ulong Serviced;
    /// <summary>CLOCK_BOOTTIME nanoseconds after which the issuer no longer waits; 0 for never.</summary>
    [FieldOffset(96)] public ulong Deadline;
    /// <summary>Trace id, 0 if the request is not traced.</summary>
    [FieldOffset(104)] public ulong TraceId;
    /// <summary>The holder's count at accept: the order in which a successor replays. All ones until the holder has stored it.</summary>
    [FieldOffset(112)] public ulong AcceptSequence;
    /// <summary>For the issuer alone; nobody else reads it, and the issuer believes its own copy.</summary>
    [FieldOffset(120)] public ulong Cookie;

    /// <summary>Identity of an op that may take effect only once, low half.</summary>
    [FieldOffset(128)] public ulong IdentityLow;
    /// <summary>Identity of an op that may take effect only once, high half.</summary>
    [FieldOffset(136)] public ulong IdentityHigh;
    /// <summary>Ports that the request, and its ancestors, have passed through.</summary>
    [FieldOffset(144)] public fixed ushort Path[MaxPath];
    /// <summary>Extents (page, generation) of pages that hold more extents.</summary>
    [FieldOffset(160)] public fixed ulong Indirect[MaxIndirect];
    /// <summary>The first extents, see <see cref="Extent"/>.</summary>
    [FieldOffset(192)] public fixed ulong Extents[InlineExtents];
    /// <summary>Result bytes of HASH and OPEN; for ACQUIRE and RELEASE the owner's cookie, set by the issuer. 64 bytes.</summary>
    [FieldOffset(384)] public fixed byte Result[64];
    /// <summary>Name of the target.</summary>
    [FieldOffset(512)] public fixed byte Target[MaxTarget];
    /// <summary>A second name: the source of COPY, the new name of RENAME.</summary>
    [FieldOffset(768)] public fixed byte Source[MaxTarget];
}
