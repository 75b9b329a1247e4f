namespace Archipelago.Locks;

/// <summary>What a request wants of a lock, copied: the slot may change meanwhile.</summary>
/// <param name="Name">The lock's object.</param>
/// <param name="Cookie">Who asks, <see cref="LockRecord.CookieSize"/> bytes.</param>
public sealed record LockAsk(byte[] Name, byte[] Cookie)
{
    /// <summary>Who asks, in words.</summary>
    public string Owner { get; init; } = "";
    /// <summary>Nanoseconds of the lease, 0 for none.</summary>
    public ulong Lease { get; init; }
    /// <summary>The flow that changes under the lock.</summary>
    public uint Flow { get; init; }
    /// <summary>Break another's lock (RELEASE), replace a damaged record (both).</summary>
    public bool Force { get; init; }
    /// <summary>An earlier execution may have done it already.</summary>
    public bool Replayed { get; init; }

    /// <summary>The name in words.</summary>
    public string Shown => LockRecord.Printable(Name, 256);
}
