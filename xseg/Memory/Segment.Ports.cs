namespace Archipelago.Xseg.Memory;

/// <summary>Which ports this open segment serves.</summary>
public sealed unsafe partial class Segment
{
    private ulong _heldPorts;

    /// <summary>Kernel locks do not exclude threads of one open segment from each other; this does.</summary>
    internal Lock MaintenanceGate { get; } = new();

    /// <summary>True if a port object of this open segment holds port <paramref name="port"/>.</summary>
    public bool HoldsPort(int port) => (Volatile.Read(ref _heldPorts) >> port & 1) != 0;

    internal bool TryTakePortLock(int port)
    {
        if (HoldsPort(port) || !_locks.TryTake(port)) return false;
        Interlocked.Or(ref _heldPorts, 1ul << port);
        return true;
    }

    internal void ReleasePortLock(int port)
    {
        Interlocked.And(ref _heldPorts, ~(1ul << port));
        if (!_disposed) _locks.Release(port);
    }
}
