namespace Archipelago.Radosd;

/// <summary>What a radosd did at RADOS. Written by its reactor with plain stores, readable by any thread.</summary>
public sealed class RadosdStatistics
{
    /// <summary>RADOS operations that ended.</summary>
    public long Operations;
    /// <summary>Payload bytes read.</summary>
    public long BytesRead;
    /// <summary>Payload bytes written.</summary>
    public long BytesWritten;
    /// <summary>RADOS operations in flight.</summary>
    public long InFlight;
    /// <summary>Payload bytes in flight.</summary>
    public long BytesInFlight;
    /// <summary>Operations that wait for room, or for a connection.</summary>
    public long Waiting;
    /// <summary>Operations that had to wait for room.</summary>
    public long Waits;
    /// <summary>Nanoseconds that they waited, in total.</summary>
    public long WaitNanoseconds;
    /// <summary>Operations that had to wait for another one of the same object.</summary>
    public long OrderWaits;
    /// <summary>RADOS operations that ended with an error other than ENOENT.</summary>
    public long Errors;
    /// <summary>Times that this peer found its client instance blocklisted.</summary>
    public long TimesFenced;
    /// <summary>Operations repeated by a new client instance.</summary>
    public long Repeats;
    /// <summary>Former instances that this peer blocklisted.</summary>
    public long InstancesFenced;
    /// <summary>1 while connected.</summary>
    public long Connected;
}
