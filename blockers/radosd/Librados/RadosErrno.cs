namespace Archipelago.Radosd.Librados;

/// <summary>
/// The Linux errnos that librados answers with and that callers act upon, and the step from librados' return
/// codes (negated errnos) to them. An errno is positive everywhere outside the native layer; 0 is success.
/// </summary>
public static class RadosErrno
{
    /// <summary>No such object, pool or lock; an asserted object does not exist.</summary>
    public const int ENOENT = 2;

    /// <summary>An I/O error of the store.</summary>
    public const int EIO = 5;

    /// <summary>The argument list, here one operation's data, is larger than can ever be in flight.</summary>
    public const int E2BIG = 7;

    /// <summary>The own limit of operations or bytes in flight is reached: nothing was submitted.</summary>
    public const int EAGAIN = 11;

    /// <summary>The lock is held by somebody else.</summary>
    public const int EBUSY = 16;

    /// <summary>An exclusive create found the object; or the caller holds the lock already.</summary>
    public const int EEXIST = 17;

    /// <summary>Bad argument, for example an empty name or one with a NUL in it.</summary>
    public const int EINVAL = 22;

    /// <summary>The buffer is too small; or the object's version is not the asserted one.</summary>
    public const int ERANGE = 34;

    /// <summary>The name is too long.</summary>
    public const int ENAMETOOLONG = 36;

    /// <summary>This client is blocklisted (fenced): none of its writes is applied any more.</summary>
    public const int EBLOCKLISTED = 108;

    /// <summary>Time-out. A write that got it may still be applied later: its outcome is unknown.</summary>
    public const int ETIMEDOUT = 110;

    /// <summary>Cancelled by this client. A cancelled write may have been, or be, applied: its outcome is unknown.</summary>
    public const int ECANCELED = 125;

    /// <summary>The queue is closed: nothing was submitted. (Not a code of librados.)</summary>
    public const int EPIPE = 32;

    /// <summary>The compare of a compare-and-write found other bytes: nothing was done.</summary>
    public const int EILSEQ = 84;

    /// <summary>A comparison that fails answers this, less the offset in the range of the first byte that differs.</summary>
    private const int Mismatch = -4095;

    /// <summary>
    /// Splits librados' return code: the errno (positive, 0 for success). Codes beyond all errnos, which only comparisons
    /// answer with, become <see cref="EILSEQ"/>.
    /// </summary>
    public static int FromReturn(long code)
        => code >= 0 ? 0 : code > Mismatch ? (int)-code : EILSEQ;

    /// <summary>Whether the outcome of a write that ended with this errno is unknown: it may be applied later.</summary>
    public static bool LeavesOutcomeUnknown(int errno) => errno is ETIMEDOUT or ECANCELED;

    /// <summary>The symbolic name for messages, or the number for an errno not listed here.</summary>
    public static string Name(int errno) => errno switch
    {
        0 => "success",
        1 => "EPERM",
        ENOENT => nameof(ENOENT),
        EIO => nameof(EIO),
        E2BIG => nameof(E2BIG),
        EAGAIN => nameof(EAGAIN),
        13 => "EACCES",
        EBUSY => nameof(EBUSY),
        EEXIST => nameof(EEXIST),
        EINVAL => nameof(EINVAL),
        28 => "ENOSPC",
        EILSEQ => nameof(EILSEQ),
        EPIPE => nameof(EPIPE),
        ERANGE => nameof(ERANGE),
        ENAMETOOLONG => nameof(ENAMETOOLONG),
        95 => "EOPNOTSUPP",
        107 => "ENOTCONN",
        EBLOCKLISTED => "EBLOCKLISTED",
        ETIMEDOUT => nameof(ETIMEDOUT),
        122 => "EDQUOT",
        ECANCELED => nameof(ECANCELED),
        _ => $"errno {errno}",
    };
}
