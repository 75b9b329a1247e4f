using System.Runtime.InteropServices;

namespace Archipelago.Xseg.Layout;

/// <summary>One port (320 bytes): a peer's numbered mailbox. Written by the process that holds the port's kernel lock.</summary>
[StructLayout(LayoutKind.Explicit, Size = Size)]
public unsafe struct PortEntry
{
    /// <summary>Bytes in an entry: five cache lines.</summary>
    public const int Size = 320;
    /// <summary>Longest port name in bytes of UTF-8.</summary>
    public const int MaxName = 64;

    /// <summary><see cref="PortState"/>.</summary>
    [FieldOffset(0)] public uint State;
    /// <summary>Rises with each bind: the lives of this port.</summary>
    [FieldOffset(4)] public uint Generation;
    /// <summary>Process that bound the port last. Informative; life and death are told by the kernel lock alone.</summary>
    [FieldOffset(8)] public int ProcessId;
    /// <summary>Bytes of <see cref="Name"/>.</summary>
    [FieldOffset(12)] public uint NameLength;
    /// <summary>CLOCK_BOOTTIME nanoseconds of the bind.</summary>
    [FieldOffset(16)] public ulong BoundAt;
    /// <summary>Pages in the port's own share, as asked for at bind.</summary>
    [FieldOffset(24)] public uint PageShare;
    /// <summary>Lives that ended within seconds of their start, in a row.</summary>
    [FieldOffset(28)] public uint QuickDeaths;
    /// <summary>CLOCK_BOOTTIME nanoseconds of the reactor's last sign of life; a held lock with an old one means "hung".</summary>
    [FieldOffset(32)] public ulong Heartbeat;
    /// <summary>Bit c is set when port c has sent here over link (c, this).</summary>
    [FieldOffset(40)] public ulong Inbound;
    /// <summary>Slots of this port from here on have never been used: scans stop here.</summary>
    [FieldOffset(48)] public uint SlotHighWater;
    /// <summary><see cref="PortFlags"/>.</summary>
    [FieldOffset(52)] public uint Flags;
    /// <summary>CRC-32C of the port's number, then <see cref="NameLength"/> and all of <see cref="Name"/>, zeros behind it; 0 if there is none.</summary>
    [FieldOffset(56)] public uint NameChecksum;
    /// <summary>Name of the peer and shard, such as "cached.0": the identity by which a successor finds its port.</summary>
    [FieldOffset(64)] public fixed byte Name[MaxName];
    /// <summary>
    /// Not 0 while the consumer sleeps and wants a byte in the port's FIFO: the number of this sleep, so that a slow waker does not
    /// clear a later one. A line of its own: producers read it on each wake check.
    /// </summary>
    [FieldOffset(128)] public uint Sleeping;
    /// <summary>Requests that were refused with EBADMSG.</summary>
    [FieldOffset(192)] public ulong BadRequests;
    /// <summary>Ring entries that named a slot whose generation or state had moved on.</summary>
    [FieldOffset(200)] public ulong StaleEntries;
    /// <summary>Ring entries that were overwritten or torn by a faulty peer.</summary>
    [FieldOffset(208)] public ulong CorruptEntries;
    /// <summary>Requests accepted.</summary>
    [FieldOffset(216)] public ulong Accepted;
    /// <summary>Requests replayed from a dead predecessor.</summary>
    [FieldOffset(224)] public ulong Replayed;
    /// <summary>Requests that were failed because three holders died with them.</summary>
    [FieldOffset(232)] public ulong Kept;
}

/// <summary>Properties of a port.</summary>
[Flags]
public enum PortFlags : uint
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>A client that comes and goes; once dead, its port may be taken by anybody.</summary>
    Transient = 1,
}

/// <summary>State of a port.</summary>
public enum PortState : uint
{
    /// <summary>Never bound, or released in order: holds nothing.</summary>
    Free = 0,
    /// <summary>Bound. If the kernel lock is free all the same, its process died and the port waits for its successor.</summary>
    Bound = 1,
    /// <summary>Left in order: kept, with its name and what it had cached, for a successor.</summary>
    Left = 2,
}
