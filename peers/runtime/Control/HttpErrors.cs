using Microsoft.AspNetCore.Http;

namespace Archipelago.Runtime.Control;

/// <summary>HTTP statuses and errnos: the errno is what counts, the status is for tools that know HTTP only.</summary>
internal static class HttpErrors
{
    public static int StatusOf(int errno) => errno switch
    {
        Errno.EINVAL or Errno.E2BIG or Errno.ENAMETOOLONG or Errno.EBADMSG or Errno.ERANGE or Errno.EOVERFLOW or Errno.ENOTDIR
            or Errno.EISDIR or Errno.EPROTO => StatusCodes.Status400BadRequest,
        Errno.EPERM or Errno.EACCES or Errno.EROFS => StatusCodes.Status403Forbidden,
        Errno.ENOENT or Errno.ENODEV or Errno.ENXIO or Errno.ENODATA => StatusCodes.Status404NotFound,
        Errno.EEXIST or Errno.EBUSY or Errno.ESTALE or Errno.ENOTEMPTY or Errno.EALREADY or Errno.EINPROGRESS
            or Errno.EADDRINUSE => StatusCodes.Status409Conflict,
        Errno.EFBIG or Errno.EMSGSIZE => StatusCodes.Status413PayloadTooLarge,
        Errno.ENOTSUP or Errno.ENOSYS => StatusCodes.Status501NotImplemented,
        Errno.EAGAIN or Errno.ESHUTDOWN or Errno.ECANCELED or Errno.ENOMEM or Errno.ENOBUFS or Errno.EMFILE or Errno.ENFILE
            or Errno.ECONNREFUSED or Errno.ENOTCONN => StatusCodes.Status503ServiceUnavailable,
        Errno.ETIMEDOUT => StatusCodes.Status504GatewayTimeout,
        Errno.ENOSPC or Errno.EDQUOT => StatusCodes.Status507InsufficientStorage,
        _ => StatusCodes.Status500InternalServerError,
    };

    /// <summary>For statuses that the HTTP server gives by itself, or that come from something else than this control plane.</summary>
    public static int ErrnoOf(int status) => status switch
    {
        StatusCodes.Status401Unauthorized or StatusCodes.Status403Forbidden => Errno.EACCES,
        StatusCodes.Status404NotFound => Errno.ENOENT,
        StatusCodes.Status405MethodNotAllowed or StatusCodes.Status501NotImplemented => Errno.ENOTSUP,
        StatusCodes.Status408RequestTimeout or StatusCodes.Status504GatewayTimeout => Errno.ETIMEDOUT,
        StatusCodes.Status409Conflict => Errno.EBUSY,
        StatusCodes.Status413PayloadTooLarge => Errno.EFBIG,
        StatusCodes.Status503ServiceUnavailable => Errno.EAGAIN,
        StatusCodes.Status507InsufficientStorage => Errno.ENOSPC,
        >= 400 and < 500 => Errno.EINVAL,
        _ => Errno.EIO,
    };
}
