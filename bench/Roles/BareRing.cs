using System.IO.MemoryMappedFiles;
using System.Runtime.CompilerServices;

namespace Archipelago.Experiments.Roles;

/// <summary>
/// The yardstick of a hop: one mapping, a single-producer single-consumer ring of 8-byte entries each way. An entry holds its lap
/// and is published by one release store, as in the segment; there is no slot, no owner, nothing else to it. The user bounds what
/// is under way, so no head is published.
/// </summary>
internal sealed unsafe class BareRing : IDisposable
{
    private const int Capacity = 1024, Shift = 10, RingBytes = Capacity * 8;

    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly ulong* _out;
    private readonly ulong* _in;
    private ulong _sent;
    private ulong _received;

    /// <summary>Maps the file; the side that made it sends on the first ring.</summary>
    internal BareRing(string path, bool isFirst)
    {
        _file = MemoryMappedFile.CreateFromFile(path, isFirst ? FileMode.Create : FileMode.Open, null, 2 * RingBytes);
        _view = _file.CreateViewAccessor();
        byte* at = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref at);
        _out = (ulong*)(isFirst ? at : at + RingBytes);
        _in = (ulong*)(isFirst ? at + RingBytes : at);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Send(uint value)
    {
        Volatile.Write(ref _out[_sent & (Capacity - 1)], value | (Lap(_sent) << 32));
        _sent++;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryReceive(out uint value)
    {
        ulong entry = Volatile.Read(ref _in[_received & (Capacity - 1)]);
        value = (uint)entry;
        if (entry >> 32 != Lap(_received)) return false;
        _received++;
        return true;
    }

    public void Dispose()
    {
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }

    private static ulong Lap(ulong position) => ((position >> Shift) % 255) + 1;
}
