using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Native;

namespace Archipelago.Xseg.Memory;

/// <summary>
/// The shared memory of one host, mapped into this process. The geometry is copied from the header once, checked, and
/// never read again; every accessor bounds what it is given, because slots and rings may hold anything (design 4, Trust).
/// Thread-safe but for <see cref="Dispose"/>.
/// </summary>
public sealed unsafe partial class Segment : IDisposable
{
    /// <summary>Bytes in a page.</summary>
    public const int PageSize = 4096;
    internal const string FileName = "segment", LocksName = "locks", WakeDirectory = "wake";

    private readonly byte* _base;
    private readonly PageEntry* _pageTable;
    private readonly byte* _pages;
    private readonly byte* _slots;
    private readonly SegmentHeader _geometry;
    private readonly SegmentLocks _locks;
    private bool _disposed;

    private Segment(string directory, byte* address, in SegmentHeader geometry, SegmentLocks locks)
    {
        DirectoryPath = directory;
        _base = address;
        _geometry = geometry;
        _locks = locks;
        _pageTable = (PageEntry*)(address + geometry.PageTableOffset);
        _pages = address + geometry.PagesOffset;
        _slots = address + geometry.SlotsOffset;
        SlotCount = geometry.PortCount * geometry.SlotsPerPort;
        SlotShift = BitOperations.Log2(geometry.SlotsPerPort);
    }

    /// <summary>Directory of the segment's files.</summary>
    public string DirectoryPath { get; }
    /// <summary>Random identity given at creation.</summary>
    public UInt128 CreationId => new(_geometry.CreationIdHigh, _geometry.CreationIdLow);
    /// <summary>Ports.</summary>
    public int PortCount => (int)_geometry.PortCount;
    /// <summary>Request slots of each port.</summary>
    public int SlotsPerPort => (int)_geometry.SlotsPerPort;
    /// <summary>Request slots of all ports.</summary>
    public uint SlotCount { get; }
    /// <summary>Base-2 logarithm of <see cref="SlotsPerPort"/>.</summary>
    public int SlotShift { get; }
    /// <summary>Pages laid out.</summary>
    public uint PageCount => _geometry.PageCountMax;
    /// <summary>Routes.</summary>
    public int RouteCount => (int)_geometry.RouteCount;
    /// <summary>Flows.</summary>
    public int FlowCount => (int)_geometry.FlowCount;
    /// <summary>Objects.</summary>
    public int ObjectCount => (int)_geometry.ObjectCount;
    /// <summary>Bytes of the file.</summary>
    public long TotalSize => (long)_geometry.TotalSize;
    /// <summary>The kernel locks that tell the living from the dead.</summary>
    public SegmentLocks Locks => _locks;

    /// <summary>The header; only its fields from <see cref="SegmentHeader.PagesCommitted"/> on are ever read again.</summary>
    internal SegmentHeader* Header => (SegmentHeader*)_base;

    /// <summary>The loan epoch as of now.</summary>
    public ulong Epoch => Volatile.Read(ref Header->Epoch);

    /// <summary>Raises the loan epoch and returns the new one.</summary>
    public ulong AdvanceEpoch() => Shared.Increment(ref Header->Epoch);

    /// <summary>A port's entry. <paramref name="port"/> must be in range: it comes from our own code.</summary>
    public PortEntry* PortAt(int port)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)port, _geometry.PortCount);
        return (PortEntry*)(_base + _geometry.PortsOffset) + port;
    }

    /// <summary>A route's entry.</summary>
    public RouteEntry* RouteAt(int route)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)route, _geometry.RouteCount);
        return (RouteEntry*)(_base + _geometry.RoutesOffset) + route;
    }

    /// <summary>A flow's entry, or null if the number (which may come from a slot) names none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public FlowEntry* FlowAt(uint flow) => flow < _geometry.FlowCount ? (FlowEntry*)(_base + _geometry.FlowsOffset) + flow : null;

    /// <summary>An object's entry, or null if the number names none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ObjectEntry* ObjectAt(uint index) => index < _geometry.ObjectCount ? (ObjectEntry*)(_base + _geometry.ObjectsOffset) + index : null;

    /// <summary>A slot, or null if the number (which may come from a ring) names none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RequestSlot* SlotAt(uint slot) => slot < SlotCount ? (RequestSlot*)(_slots + (nuint)slot * RequestSlot.Size) : null;

    /// <summary>A page's entry, or null if the number (which may come from an extent) names none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public PageEntry* PageAt(uint page) => page < _geometry.PageCountMax ? _pageTable + page : null;

    /// <summary>A page's bytes. The caller has checked the number with <see cref="PageAt"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* PageBytes(uint page)
    {
        if (page >= _geometry.PageCountMax) ThrowPage(page);
        return _pages + (nuint)page * PageSize;
    }

    /// <summary>Start of ring <paramref name="which"/> (0 requests, 1 replies) of the link from <paramref name="client"/> to <paramref name="server"/>.</summary>
    internal byte* RingAt(int client, int server, int which)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)client, _geometry.PortCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)server, _geometry.PortCount);
        ulong link = (ulong)client * _geometry.PortCount + (ulong)server;
        return _base + _geometry.LinksOffset + link * _geometry.LinkStride + (ulong)(which * LinkLayout.RingBytes((int)_geometry.RingCapacity));
    }

    /// <summary>Capacity of each ring.</summary>
    public int RingCapacity => (int)_geometry.RingCapacity;

    /// <summary>Unmaps. The files stay: a segment outlives its processes.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _ = Libc.munmap(_base, (nuint)_geometry.TotalSize);
        _locks.Dispose();
    }

    private static void ThrowPage(uint page) => throw new XsegException(XsegErrno.EBADMSG, $"page {page} is outside the segment");

    internal static uint HeaderChecksum(in SegmentHeader header)
    {
        var bytes = MemoryMarshal.AsBytes(MemoryMarshal.CreateReadOnlySpan(in header, 1))[..SegmentHeader.ChecksummedBytes];
        uint crc = uint.MaxValue;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes)) crc = BitOperations.Crc32C(crc, word);
        return ~crc;
    }
}
