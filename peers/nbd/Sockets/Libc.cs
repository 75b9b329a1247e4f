using System.Runtime.InteropServices;
using Archipelago.Runtime;

namespace Archipelago.Nbd.Sockets;

/// <summary>The socket calls as Linux has them: no wrapper object, no allocation. Generic ABI constants (x86-64, arm64).</summary>
internal static unsafe partial class Libc
{
    internal const int AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, SOCK_STREAM = 1, SOCK_NONBLOCK = 0x800, SOCK_CLOEXEC = 0x80000;
    internal const int SOL_SOCKET = 1, SO_REUSEADDR = 2, SO_SNDBUF = 7, SO_RCVBUF = 8, SO_KEEPALIVE = 9, SO_PEERCRED = 17, IPPROTO_TCP = 6, TCP_NODELAY = 1, IPPROTO_IPV6 = 41, IPV6_V6ONLY = 26;
    internal const int MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000;

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct IoVector
    {
        internal byte* Base;
        internal nuint Length;
    }

    /// <summary>struct msghdr.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Message
    {
        internal void* Name;
        internal uint NameLength;
        internal IoVector* Vectors;
        internal nuint VectorCount;
        internal void* Control;
        internal nuint ControlLength;
        internal int Flags;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int socket(int domain, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int bind(int socket, void* address, uint length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int connect(int socket, void* address, uint length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int listen(int socket, int backlog);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int accept4(int socket, void* address, uint* length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int getsockname(int socket, void* address, uint* length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int getpeername(int socket, void* address, uint* length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int getsockopt(int socket, int level, int option, void* value, uint* length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int setsockopt(int socket, int level, int option, void* value, uint length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint recv(int socket, void* buffer, nuint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint recvmsg(int socket, Message* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint send(int socket, void* buffer, nuint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint sendmsg(int socket, Message* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int close(int descriptor);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int chmod(string path, uint mode);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int unlink(string path);

    internal static int LastError => Marshal.GetLastPInvokeError();

    internal static ErrnoException Failure(string what) => Failure(what, LastError);

    internal static ErrnoException Failure(string what, int error) => new(error, $"{what}: {Errno.Describe(error)} ({Errno.Name(error)})");

    internal static void SetOption(int socket, int level, int option, int value) => _ = setsockopt(socket, level, option, &value, sizeof(int));
}
