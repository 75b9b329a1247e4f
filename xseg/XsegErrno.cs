namespace Archipelago.Xseg;

/// <summary>Linux error numbers that requests carry as their status.</summary>
public static class XsegErrno
{
#pragma warning disable CS1591 // the names are the kernel's
    public const int ENOENT = 2, EINTR = 4, EIO = 5, ENXIO = 6, EAGAIN = 11, ENOMEM = 12, EACCES = 13, EBUSY = 16, EEXIST = 17,
        ENODEV = 19, EINVAL = 22, EFBIG = 27, ENOSPC = 28, EROFS = 30, ENAMETOOLONG = 36, EPROTO = 71, EBADMSG = 74, EOVERFLOW = 75, EILSEQ = 84,
        ENOTSUP = 95, ESHUTDOWN = 108, ETIMEDOUT = 110, ESTALE = 116, EUCLEAN = 117, ECANCELED = 125;
#pragma warning restore CS1591
}

/// <summary>An operation on a segment failed; says what, where and what to do.</summary>
public sealed class XsegException(int errno, string message) : Exception(message)
{
    /// <summary>Positive Linux error number.</summary>
    public int Errno { get; } = errno;
}
