using System.Numerics;
using Archipelago.Xseg.Layout;

namespace Archipelago.Xseg;

/// <summary>Sizes of a new segment. All are fixed at creation; the defaults take about 30 MiB beside the pages.</summary>
public sealed record SegmentOptions
{
    /// <summary>Ports, 2 to 64.</summary>
    public int Ports { get; init; } = 16;
    /// <summary>Request slots per port, a power of two, 16 to 65,536.</summary>
    public int SlotsPerPort { get; init; } = 1024;
    /// <summary>Routes, 1 to 1,024.</summary>
    public int Routes { get; init; } = 32;
    /// <summary>Flows, 2 to 65,536.</summary>
    public int Flows { get; init; } = 1024;
    /// <summary>Objects with cached data, 64 to 16 M; 0 picks a quarter of the pages.</summary>
    public int Objects { get; init; }
    /// <summary>Sessions of synapsed, 1 to 4,096.</summary>
    public int Sessions { get; init; } = 64;
    /// <summary>4 KiB pages, 64 to 2³⁰, all committed at creation.</summary>
    public long Pages { get; init; } = 96 * 1024;
    /// <summary>Map and touch the pages at creation so that nobody pays for it later.</summary>
    public bool Prefault { get; init; } = true;
    /// <summary>The segment's identity; 0 draws one. A simulation names its own, so that a seed replays exactly.</summary>
    public UInt128 CreationId { get; init; }

    internal SegmentHeader ToHeader()
    {
        Require(Ports is >= 2 and <= 64, "ports", "2 to 64", Ports);
        Require(SlotsPerPort is >= 16 and <= 65536 && BitOperations.IsPow2(SlotsPerPort), "slots per port", "a power of two from 16 to 65,536", SlotsPerPort);
        Require(Routes is >= 1 and <= 1024, "routes", "1 to 1,024", Routes);
        Require(Flows is >= 2 and <= 65536, "flows", "2 to 65,536", Flows);
        Require(Sessions is >= 1 and <= 4096, "sessions", "1 to 4,096", Sessions);
        Require(Pages is >= 64 and <= 1 << 30, "pages", "64 to 1,073,741,824", Pages);
        int objects = Objects != 0 ? Objects : (int)Math.Clamp(Pages / 4, 1024, 16 << 20);
        Require(objects is >= 64 and <= 16 << 20, "objects", "64 to 16,777,216", objects);

        var header = new SegmentHeader
        {
            Magic = SegmentHeader.MagicValue,
            LayoutVersion = SegmentHeader.CurrentLayout,
            HeaderSize = 4096,
            PageSize = 4096,
            SlotSize = RequestSlot.Size,
            PortCount = (uint)Ports,
            SlotsPerPort = (uint)SlotsPerPort,
            RingCapacity = (uint)SlotsPerPort,
            RouteCount = (uint)Routes,
            FlowCount = (uint)Flows,
            ObjectCount = (uint)objects,
            SessionCount = (uint)Sessions,
            PageCountMax = (uint)Pages,
            LinkStride = (ulong)LinkLayout.Stride(SlotsPerPort),
            CreationIdLow = (ulong)CreationId,
            CreationIdHigh = (ulong)(CreationId >> 64),
        };
        ulong at = 4096;
        header.PortsOffset = Take(ref at, (ulong)Ports * PortEntry.Size);
        header.RoutesOffset = Take(ref at, (ulong)Routes * RouteEntry.Size);
        header.FlowsOffset = Take(ref at, (ulong)Flows * FlowEntry.Size);
        header.SessionsOffset = Take(ref at, (ulong)Sessions * SessionEntry.Size);
        header.ObjectsOffset = Take(ref at, (ulong)objects * ObjectEntry.Size);
        header.LinksOffset = Take(ref at, (ulong)(Ports * Ports) * header.LinkStride);
        header.SlotsOffset = Take(ref at, (ulong)Ports * (ulong)SlotsPerPort * RequestSlot.Size);
        header.PageTableOffset = Take(ref at, (ulong)Pages * PageEntry.Size);
        at = (at + (2 << 20) - 1) & ~((2ul << 20) - 1);
        header.PagesOffset = Take(ref at, (ulong)Pages * 4096);
        header.TotalSize = at;
        return header;
    }

    private static ulong Take(ref ulong at, ulong bytes)
    {
        ulong start = at;
        at = (at + bytes + 4095) & ~4095ul;
        return start;
    }

    private static void Require(bool holds, string what, string range, long found)
    {
        if (!holds) throw new XsegException(XsegErrno.EINVAL, $"segment {what}: expected {range}, found {found}");
    }
}

/// <summary>
/// Layout of one link: two rings, each with a line for the consumer's head, a line for the producer's tail, and the entries.
/// </summary>
internal static class LinkLayout
{
    internal const int HeadOffset = 0, TailOffset = 64, EntriesOffset = 128;

    internal static long RingBytes(int capacity) => EntriesOffset + (long)capacity * 8;

    internal static long Stride(int capacity) => 2 * RingBytes(capacity);
}
