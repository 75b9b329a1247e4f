namespace Archipelago.Xseg;

/// <summary>Operations of a request; exact semantics per op in <c>xseg/README.md</c>. Numbers are part of the layout.</summary>
public enum XsegOp : byte
{
    /// <summary>Nothing: a sign of life.</summary>
    Ping = 0,
    /// <summary>Reads [offset, offset + length); past the end and missing objects read as zeros.</summary>
    Read = 1,
    /// <summary>Writes; creates the object if need be.</summary>
    Write = 2,
    /// <summary>Everything of the flow that was answered before is stable when this is answered.</summary>
    Flush = 3,
    /// <summary>The range may read as zeros afterwards, and does.</summary>
    Discard = 4,
    /// <summary>The range reads as zeros.</summary>
    WriteZeroes = 5,
    /// <summary>Sets the size to length.</summary>
    Truncate = 6,
    /// <summary>Removes the target.</summary>
    Delete = 7,
    /// <summary>Copies length bytes from the source object.</summary>
    Copy = 8,
    /// <summary>Serviced is the size.</summary>
    Info = 9,
    /// <summary>SHA-256 of the content without trailing zeros, in the result.</summary>
    Hash = 10,
    /// <summary>Takes the named exclusive lock.</summary>
    Acquire = 11,
    /// <summary>Gives the named exclusive lock back.</summary>
    Release = 12,
    /// <summary>Opens a volume.</summary>
    Open = 13,
    /// <summary>Closes a volume.</summary>
    Close = 14,
    /// <summary>Creates a volume of length bytes.</summary>
    Create = 15,
    /// <summary>Makes a clone.</summary>
    Clone = 16,
    /// <summary>Makes a snapshot.</summary>
    Snapshot = 17,
    /// <summary>Renames.</summary>
    Rename = 18,
    /// <summary>Maps for reading.</summary>
    MapRead = 19,
    /// <summary>Maps for writing.</summary>
    MapWrite = 20,
    /// <summary>The range will be read soon.</summary>
    Prefetch = 21,
    /// <summary>Everything that is kept in memory of the flow is forgotten, unwritten changes too: somebody else has owned it meanwhile.</summary>
    Invalidate = 22,
    /// <summary>Makes a volume what a snapshot of it is.</summary>
    Rollback = 23,
    /// <summary>Makes a volume independent of the snapshot that it was cloned from.</summary>
    Flatten = 24,
    /// <summary>
    /// The flow, which nobody has open, is about to be freed: what is dirty of it is brought down, what is stable is forgotten. EBUSY if something of it
    /// must be kept. Nothing is lost by it, whenever it comes.
    /// </summary>
    Retire = 25,
}

/// <summary>What a request asks for beyond its op.</summary>
[Flags]
public enum RequestFlags : ushort
{
    /// <summary>Nothing.</summary>
    None = 0,
    /// <summary>Stable when answered.</summary>
    ForceUnitAccess = 1,
    /// <summary>A missing object is EIO, not zeros.</summary>
    MustExist = 2,
    /// <summary>ACQUIRE: fail with EBUSY instead of waiting. DELETE of a volume that its issuer has open for nobody: it is not made stable first.</summary>
    NoSync = 4,
    /// <summary>RELEASE: break another's lock. FLATTEN: end one that goes on, which is refused with ECANCELED then.</summary>
    Force = 8,
    /// <summary>CREATE and COPY: fail with EEXIST if the target exists.</summary>
    Exclusive = 16,
    /// <summary>OPEN: for reading only.</summary>
    ReadOnly = 32,
    /// <summary>FLUSH: for a peer's own ends; it does not show that the volume's user flushes.</summary>
    Housekeeping = 64,
    /// <summary>
    /// WRITE to a blocker: compare and swap. The first half of the data is what the range [offset, offset + length / 2) must hold (a missing
    /// object and what lies beyond its end hold zeros), the second half what it holds afterwards, stable; EILSEQ, with nothing done, if it holds anything else.
    /// </summary>
    Compare = 128,
    /// <summary>The object never changes again, but may be deleted: a cache keeps it once for all flows.</summary>
    Shared = 256,
    /// <summary>READ of a blocker with an empty target: names of objects; CREATE: its data lists objects. See <c>xseg/README.md</c>.</summary>
    List = 512,
}

/// <summary>What a holder says beyond status and serviced.</summary>
[Flags]
public enum ReplyFlags : byte
{
    /// <summary>Nothing.</summary>
    None = 0,
    /// <summary>What was written is stable already; no FLUSH is needed for it.</summary>
    Stable = 1,
    /// <summary>READ: the object did not exist.</summary>
    Missing = 2,
}
