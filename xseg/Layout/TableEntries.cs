using System.Runtime.InteropServices;

namespace Archipelago.Xseg.Layout;

/// <summary>One named route (128 bytes): where requests for "blocks", "cache", … go.</summary>
[StructLayout(LayoutKind.Explicit, Size = Size)]
public unsafe struct RouteEntry
{
    /// <summary>Bytes in an entry.</summary>
    public const int Size = 128;
    /// <summary>Longest route name in bytes.</summary>
    public const int MaxName = 32;

    /// <summary>0 free, 1 in use; low 32 bits of a word whose high half counts changes.</summary>
    [FieldOffset(0)] public ulong Word;
    /// <summary>First port of the target; shard s listens on port + s.</summary>
    [FieldOffset(8)] public ushort Port;
    /// <summary>Shards of the target, 1 or more.</summary>
    [FieldOffset(10)] public ushort Shards;
    /// <summary>1 while the route is held: new requests wait (plug and unplug).</summary>
    [FieldOffset(12)] public uint Held;
    /// <summary>Bytes of <see cref="Name"/>.</summary>
    [FieldOffset(16)] public uint NameLength;
    /// <summary>Name of the route.</summary>
    [FieldOffset(64)] public fixed byte Name[MaxName];
}

/// <summary>One flow (512 bytes): a volume's data or map namespace, with its policy.</summary>
[StructLayout(LayoutKind.Explicit, Size = Size)]
public unsafe struct FlowEntry
{
    /// <summary>Bytes in an entry.</summary>
    public const int Size = 512;

    /// <summary>State in the low 32 bits (0 free, 2 in use, 3 retiring: about to be freed, see <see cref="Tables.FlowRetirement"/>), generation in the high half.</summary>
    [FieldOffset(0)] public ulong Word;
    /// <summary>Hash of the name, low half.</summary>
    [FieldOffset(8)] public ulong HashLow;
    /// <summary>Hash of the name, high half.</summary>
    [FieldOffset(16)] public ulong HashHigh;
    /// <summary><see cref="CachePolicy"/>.</summary>
    [FieldOffset(24)] public byte Policy;
    /// <summary>1 once the user of the flow has flushed since its OPEN.</summary>
    [FieldOffset(25)] public byte HasFlushed;
    /// <summary><see cref="FlowSpace"/>.</summary>
    [FieldOffset(26)] public byte Namespace;
    /// <summary>1: write-back holds only after the first FLUSH since OPEN.</summary>
    [FieldOffset(27)] public byte SafeUntilFlush;
    /// <summary>1: a destage failed and the flow writes through until one succeeds.</summary>
    [FieldOffset(28)] public byte Degraded;
    /// <summary>1: checksums of pages are kept and checked.</summary>
    [FieldOffset(29)] public byte Checksums;
    /// <summary>1: epochs are destaged in write order.</summary>
    [FieldOffset(30)] public byte Ordered;
    /// <summary>0, <see cref="Owed"/> or <see cref="OwedTold"/>.</summary>
    [FieldOffset(31)] public byte FlushOwed;
    /// <summary>Of <see cref="FlushOwed"/>: the blocker failed a FLUSH on which changes relied that no page of the cache holds. The user's next FLUSH says so (EIO).</summary>
    public const byte Owed = 1;
    /// <summary>Of <see cref="FlushOwed"/>: a FLUSH has said it; the one after that clears it, as the answer might have died with its teller, to be given by a successor.</summary>
    public const byte OwedTold = 2;
    /// <summary>Guaranteed pages.</summary>
    [FieldOffset(32)] public ulong MinimumPages;
    /// <summary>Maximum pages, 0 for no limit.</summary>
    [FieldOffset(40)] public ulong MaximumPages;
    /// <summary>Most dirty bytes, 0 for the cache's own limit.</summary>
    [FieldOffset(48)] public ulong DirtyLimit;
    /// <summary>Age in nanoseconds at which a dirty page is destaged, 0 for the cache's own.</summary>
    [FieldOffset(56)] public ulong DirtyAge;
    /// <summary>Epoch of the volume's lock when it was last opened for writing on this host: the blocker refuses changes of the flow (ESTALE) once the store names
    /// another. 0: never opened for writing, nothing is refused.</summary>
    [FieldOffset(64)] public ulong LockEpoch;
    /// <summary>Bytes of <see cref="Name"/>.</summary>
    [FieldOffset(72)] public uint NameLength;
    /// <summary>1: nothing of the flow is cached, whatever its policy: another host may be writing to the volume.</summary>
    [FieldOffset(76)] public byte Uncached;
    /// <summary>1 + the port that has the volume open for writing, 0 for none, or <see cref="Lost"/>. A lock that is held for a change of a closed volume has a LockId, too.</summary>
    [FieldOffset(78)] public ushort OpenBy;
    /// <summary>Of <see cref="OpenBy"/>: another host has taken the volume from who has it open here: until he closes it changes and FLUSHes fail with ESTALE.</summary>
    public const ushort Lost = ushort.MaxValue;
    /// <summary>Id of the volume: its lock is the object <c>l.</c> + 16 hex digits of it.</summary>
    [FieldOffset(80)] public ulong LockId;
    /// <summary>Bit p: port p has opened it, if that port lives and was bound before <see cref="UsedAt"/>. By compare-and-swap (<see cref="Tables.FlowUse"/>).</summary>
    [FieldOffset(88)] public ulong Users;
    /// <summary>CLOCK_BOOTTIME nanoseconds of the last OPEN or CLOSE. 0: whoever made it does not say whether he uses it, so it is never freed for others.</summary>
    [FieldOffset(96)] public ulong UsedAt;
    /// <summary>Id of the volume whose lock had <see cref="LockEpoch"/>: a name may be another volume's by now. 0: not known.</summary>
    [FieldOffset(104)] public ulong VolumeId;
    /// <summary>Name of the volume.</summary>
    [FieldOffset(256)] public fixed byte Name[RequestSlot.MaxTarget];
}

/// <summary>What a flow's objects are (<see cref="FlowEntry.Namespace"/>).</summary>
public static class FlowSpace
{
    /// <summary>Data of a volume.</summary>
    public const byte Data = 0;
    /// <summary>Maps and other metadata.</summary>
    public const byte Maps = 1;
    /// <summary>Objects that never change again, of all volumes: one flow of the segment, whose pages any slot may read.</summary>
    public const byte Shared = 2;
}

/// <summary>Cache policy of a flow.</summary>
public enum CachePolicy : byte
{
    /// <summary>The cache's default.</summary>
    Default = 0,
    /// <summary>A write is answered when the cache holds it.</summary>
    WriteBack = 1,
    /// <summary>A write is answered when the blocker has it.</summary>
    WriteThrough = 2,
    /// <summary>Nothing is cached.</summary>
    Off = 3,
}

/// <summary>One cached object (320 bytes): enough to destage its dirty pages without any process's memory.</summary>
[StructLayout(LayoutKind.Explicit, Size = Size)]
public unsafe struct ObjectEntry
{
    /// <summary>Bytes in an entry.</summary>
    public const int Size = 320;

    /// <summary>State in bits 0–7 (0 free, 1 claimed, 2 in use), owner port in bits 8–15, generation in bits 32–63.</summary>
    [FieldOffset(0)] public ulong Word;
    /// <summary>Hash of the name, low half.</summary>
    [FieldOffset(8)] public ulong HashLow;
    /// <summary>Hash of the name, high half.</summary>
    [FieldOffset(16)] public ulong HashHigh;
    /// <summary>Flow that the object belongs to.</summary>
    [FieldOffset(24)] public uint Flow;
    /// <summary>Bytes of <see cref="Name"/>.</summary>
    [FieldOffset(28)] public uint NameLength;
    /// <summary>Size of the object in bytes as far as known, or all ones.</summary>
    [FieldOffset(32)] public ulong ObjectSize;
    /// <summary>1: the blocker has no such object, the cached pages are the zeros that it reads as. 0: it has, or nobody knows.</summary>
    [FieldOffset(40)] public uint Missing;
    /// <summary>Name of the object.</summary>
    [FieldOffset(64)] public fixed byte Name[RequestSlot.MaxTarget];
}

/// <summary>One synapsed session (256 bytes), reserved for its own issue.</summary>
[StructLayout(LayoutKind.Explicit, Size = Size)]
public struct SessionEntry
{
    /// <summary>Bytes in an entry.</summary>
    public const int Size = 256;

    /// <summary>State in the low 32 bits, generation in the high half.</summary>
    [FieldOffset(0)] public ulong Word;
    /// <summary>Session id, low half.</summary>
    [FieldOffset(8)] public ulong IdLow;
    /// <summary>Session id, high half.</summary>
    [FieldOffset(16)] public ulong IdHigh;
    /// <summary>Lowest request id that is not yet acknowledged as executed.</summary>
    [FieldOffset(24)] public ulong WindowBase;
}
