using Archipelago.Runtime;

namespace Archipelago.Nbd.Protocol;

/// <summary>The few error numbers that NBD has, and what our errnos become.</summary>
internal static class NbdError
{
    /// <summary>The protocol's error for an errno; 0 for 0. What NBD has no number for is EIO: the message chunk names the errno.</summary>
    internal static uint Of(int errno) => errno switch
    {
        0 => 0,
        Errno.EPERM or Errno.EROFS or Errno.EACCES => Errno.EPERM,
        Errno.ENOMEM => Errno.ENOMEM,
        Errno.EINVAL => Errno.EINVAL,
        Errno.ENOSPC or Errno.EDQUOT or Errno.EFBIG => Errno.ENOSPC,
        Errno.EOVERFLOW => Errno.EOVERFLOW,
        Errno.ENOTSUP => Errno.ENOTSUP,
        Errno.ESHUTDOWN => Errno.ESHUTDOWN,
        _ => Errno.EIO,
    };
}
