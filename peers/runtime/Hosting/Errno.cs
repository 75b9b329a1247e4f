namespace Archipelago.Runtime;

/// <summary>
/// The Linux errno values that requests, errors and the control plane carry. Values are those of the generic Linux ABI (x86-64,
/// arm64), always positive.
/// </summary>
public static class Errno
{
    /// <summary>Operation not permitted.</summary>
    public const int EPERM = 1;
    /// <summary>No such volume, object, peer or file.</summary>
    public const int ENOENT = 2;
    /// <summary>Interrupted.</summary>
    public const int EINTR = 4;
    /// <summary>Input/output error.</summary>
    public const int EIO = 5;
    /// <summary>No such device or address.</summary>
    public const int ENXIO = 6;
    /// <summary>Argument list too long.</summary>
    public const int E2BIG = 7;
    /// <summary>Bad file descriptor.</summary>
    public const int EBADF = 9;
    /// <summary>Try again.</summary>
    public const int EAGAIN = 11;
    /// <summary>Out of memory.</summary>
    public const int ENOMEM = 12;
    /// <summary>Permission denied.</summary>
    public const int EACCES = 13;
    /// <summary>Bad address.</summary>
    public const int EFAULT = 14;
    /// <summary>Busy.</summary>
    public const int EBUSY = 16;
    /// <summary>Exists already.</summary>
    public const int EEXIST = 17;
    /// <summary>No such device.</summary>
    public const int ENODEV = 19;
    /// <summary>Not a directory.</summary>
    public const int ENOTDIR = 20;
    /// <summary>Is a directory.</summary>
    public const int EISDIR = 21;
    /// <summary>Invalid argument.</summary>
    public const int EINVAL = 22;
    /// <summary>Too many open files in the system.</summary>
    public const int ENFILE = 23;
    /// <summary>Too many open files in this process.</summary>
    public const int EMFILE = 24;
    /// <summary>Too large.</summary>
    public const int EFBIG = 27;
    /// <summary>No space left.</summary>
    public const int ENOSPC = 28;
    /// <summary>Read-only.</summary>
    public const int EROFS = 30;
    /// <summary>Broken pipe.</summary>
    public const int EPIPE = 32;
    /// <summary>Result out of range.</summary>
    public const int ERANGE = 34;
    /// <summary>Name too long.</summary>
    public const int ENAMETOOLONG = 36;
    /// <summary>Not implemented by this system.</summary>
    public const int ENOSYS = 38;
    /// <summary>Not empty.</summary>
    public const int ENOTEMPTY = 39;
    /// <summary>No data available.</summary>
    public const int ENODATA = 61;
    /// <summary>Protocol error.</summary>
    public const int EPROTO = 71;
    /// <summary>Bad message: a request, slot or packet that breaks its format.</summary>
    public const int EBADMSG = 74;
    /// <summary>Value too large for its type.</summary>
    public const int EOVERFLOW = 75;
    /// <summary>What was compared is different.</summary>
    public const int EILSEQ = 84;
    /// <summary>Message too long.</summary>
    public const int EMSGSIZE = 90;
    /// <summary>Operation not supported.</summary>
    public const int ENOTSUP = 95;
    /// <summary>Address in use.</summary>
    public const int EADDRINUSE = 98;
    /// <summary>Address not available.</summary>
    public const int EADDRNOTAVAIL = 99;
    /// <summary>Network unreachable.</summary>
    public const int ENETUNREACH = 101;
    /// <summary>Connection aborted.</summary>
    public const int ECONNABORTED = 103;
    /// <summary>Connection reset.</summary>
    public const int ECONNRESET = 104;
    /// <summary>No buffer space.</summary>
    public const int ENOBUFS = 105;
    /// <summary>Not connected.</summary>
    public const int ENOTCONN = 107;
    /// <summary>Shut down: the endpoint was stopped, or the client is blocklisted.</summary>
    public const int ESHUTDOWN = 108;
    /// <summary>Timed out.</summary>
    public const int ETIMEDOUT = 110;
    /// <summary>Connection refused.</summary>
    public const int ECONNREFUSED = 111;
    /// <summary>Host unreachable.</summary>
    public const int EHOSTUNREACH = 113;
    /// <summary>Already in progress.</summary>
    public const int EALREADY = 114;
    /// <summary>In progress.</summary>
    public const int EINPROGRESS = 115;
    /// <summary>Stale: the handle, map or lock epoch was overtaken.</summary>
    public const int ESTALE = 116;
    /// <summary>What is stored is damaged and needs repair.</summary>
    public const int EUCLEAN = 117;
    /// <summary>Quota exceeded.</summary>
    public const int EDQUOT = 122;
    /// <summary>Cancelled.</summary>
    public const int ECANCELED = 125;
    /// <summary>The previous owner died.</summary>
    public const int EOWNERDEAD = 130;

    /// <summary>The symbol of an errno (<c>ENOENT</c>), <c>OK</c> for 0, and <c>E123</c> for one without a name here.</summary>
    public static string Name(int errno) => Find(errno).Name ?? (errno == 0 ? "OK" : $"E{errno}");

    /// <summary>One short lower-case phrase for an errno, for messages: <c>no such file or object</c>.</summary>
    public static string Describe(int errno) => Find(errno).Text ?? (errno == 0 ? "success" : $"error {errno}");

    private static (string? Name, string? Text) Find(int errno) => errno switch
    {
        EPERM => ("EPERM", "operation not permitted"),
        ENOENT => ("ENOENT", "no such file or object"),
        EINTR => ("EINTR", "interrupted"),
        EIO => ("EIO", "input/output error"),
        ENXIO => ("ENXIO", "no such device or address"),
        E2BIG => ("E2BIG", "argument list too long"),
        EBADF => ("EBADF", "bad file descriptor"),
        EAGAIN => ("EAGAIN", "temporarily unavailable, try again"),
        ENOMEM => ("ENOMEM", "out of memory"),
        EACCES => ("EACCES", "permission denied"),
        EFAULT => ("EFAULT", "bad address"),
        EBUSY => ("EBUSY", "busy"),
        EEXIST => ("EEXIST", "exists already"),
        ENODEV => ("ENODEV", "no such device"),
        ENOTDIR => ("ENOTDIR", "not a directory"),
        EISDIR => ("EISDIR", "is a directory"),
        EINVAL => ("EINVAL", "invalid argument"),
        ENFILE => ("ENFILE", "too many open files in the system"),
        EMFILE => ("EMFILE", "too many open files"),
        EFBIG => ("EFBIG", "too large"),
        ENOSPC => ("ENOSPC", "no space left"),
        EROFS => ("EROFS", "read-only"),
        EPIPE => ("EPIPE", "broken pipe"),
        ERANGE => ("ERANGE", "result out of range"),
        ENAMETOOLONG => ("ENAMETOOLONG", "name too long"),
        ENOSYS => ("ENOSYS", "not implemented"),
        ENOTEMPTY => ("ENOTEMPTY", "not empty"),
        ENODATA => ("ENODATA", "no data available"),
        EPROTO => ("EPROTO", "protocol error"),
        EBADMSG => ("EBADMSG", "bad message"),
        EOVERFLOW => ("EOVERFLOW", "value too large"),
        EILSEQ => ("EILSEQ", "not what was expected to be there"),
        EMSGSIZE => ("EMSGSIZE", "message too long"),
        ENOTSUP => ("ENOTSUP", "not supported"),
        EADDRINUSE => ("EADDRINUSE", "address in use"),
        EADDRNOTAVAIL => ("EADDRNOTAVAIL", "address not available"),
        ENETUNREACH => ("ENETUNREACH", "network unreachable"),
        ECONNABORTED => ("ECONNABORTED", "connection aborted"),
        ECONNRESET => ("ECONNRESET", "connection reset"),
        ENOBUFS => ("ENOBUFS", "no buffer space"),
        ENOTCONN => ("ENOTCONN", "not connected"),
        ESHUTDOWN => ("ESHUTDOWN", "shut down"),
        ETIMEDOUT => ("ETIMEDOUT", "timed out"),
        ECONNREFUSED => ("ECONNREFUSED", "connection refused"),
        EHOSTUNREACH => ("EHOSTUNREACH", "host unreachable"),
        EALREADY => ("EALREADY", "already in progress"),
        EINPROGRESS => ("EINPROGRESS", "in progress"),
        ESTALE => ("ESTALE", "stale: overtaken by a newer owner or epoch"),
        EUCLEAN => ("EUCLEAN", "damaged, needs repair"),
        EDQUOT => ("EDQUOT", "quota exceeded"),
        ECANCELED => ("ECANCELED", "cancelled"),
        EOWNERDEAD => ("EOWNERDEAD", "the previous owner died"),
        _ => (null, null),
    };
}
