namespace Archipelago.Locks;

/// <summary>
/// What a blocker gives to its locks. All methods are called on the blocker's reactor, and answer 0 or an errno; none of them throws for what
/// the store does.
/// </summary>
public abstract class LockStore
{
    /// <summary>The instance of the blocker as others can fence it, at most <see cref="LockRecord.MaxAddress"/> bytes; null while there is none.</summary>
    public abstract string? Address { get; }

    /// <summary>
    /// True: nobody else can be relied on to be fenced, so a holder itself stops at the end of its lease. False: an instance whose lock was broken is
    /// fenced at the store before another may write.
    /// </summary>
    public abstract bool LeaseBoundsWrites { get; }

    /// <summary>
    /// Nanoseconds for which a flow passes once it was verified, <see cref="FlowLocks.Forever"/> for no end: shorter than a fence lasts, so that whoever
    /// sleeps longer than that looks again when he wakes.
    /// </summary>
    public virtual long VerifiedFor => FlowLocks.Forever;

    /// <summary>Waits until there is an <see cref="Address"/>; false: the blocker stops, there will be none.</summary>
    public virtual ValueTask<bool> ReadyAsync() => new(Address != null);

    /// <summary>Reads the first <see cref="LockRecord.Size"/> bytes of an object; what is not there is zeros.</summary>
    public abstract ValueTask<int> ReadAsync(byte[] name, byte[] into);

    /// <summary>
    /// Replaces the first bytes of an object if they are what is expected (a missing object and what lies behind its end are zeros), stable when
    /// answered. EILSEQ: they are not; or they were, and an earlier try of this very call has replaced them.
    /// </summary>
    public abstract ValueTask<int> CompareAndSwapAsync(byte[] name, byte[] expected, byte[] fresh);

    /// <summary>Done once no write of the instance with this address, which is not this one's, can take effect any more.</summary>
    public abstract ValueTask<int> FenceAsync(string address);

    /// <summary>Waits for the changes of a flow that this instance has under way.</summary>
    public virtual ValueTask DrainAsync(uint flow) => ValueTask.CompletedTask;
}
