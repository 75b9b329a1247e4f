using System.Runtime.InteropServices;

namespace Archipelago.Filed.Native;

/// <summary>The system calls of filed. Results of −1 leave errno in <see cref="Marshal.GetLastPInvokeError"/>; see <see cref="Sys"/>.</summary>
internal static unsafe partial class Libc
{
    internal const int O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0x40, O_EXCL = 0x80, O_CLOEXEC = 0x80000;
    internal const int RWF_DSYNC = 2, RWF_NOWAIT = 8;
    internal const int FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2, FALLOC_FL_ZERO_RANGE = 16;
    internal const int SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4;
    internal const int F_OFD_SETLK = 37;
    internal const int AT_EMPTY_PATH = 0x1000;
    internal const uint STATX_NLINK = 4;
    internal const short POLLIN = 1;
    /// <summary>The numbers of the calls on pidfds, which older versions of glibc do not wrap, on both architectures.</summary>
    internal const long SYS_pidfd_open = 434, SYS_pidfd_send_signal = 424;
    internal const int EFD_SEMAPHORE = 1, EFD_CLOEXEC = 0x80000;
    internal const int MaxVectors = 1024;

    internal const int AT_FDCWD = -100, O_PATH = 0x200000;
    internal const ulong RESOLVE_NO_SYMLINKS = 4, RESOLVE_BENEATH = 8;
    /// <summary>The number of openat2, which glibc does not wrap, on both architectures.</summary>
    internal const long SYS_openat2 = 437;

    // The flags that differ between the architectures that .NET runs on.
    internal static readonly int O_DIRECT = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 0x4000 : 0x10000;
    internal static readonly int O_DIRECTORY = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 0x10000 : 0x4000;
    internal static readonly int O_NOFOLLOW = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 0x20000 : 0x8000;

    [StructLayout(LayoutKind.Sequential)]
    internal struct OpenHow
    {
        internal ulong Flags, Mode, Resolve;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct IoVector
    {
        internal byte* Base;
        internal nuint Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct Flock
    {
        internal short Type, Whence;
        internal long Start, Length;
        internal int ProcessId;
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int openat(int directory, string path, int flags, uint mode);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial long syscall(long number, int directory, string path, OpenHow* how, nuint size);

    [StructLayout(LayoutKind.Sequential)]
    internal struct PollFd
    {
        internal int Fd;
        internal short Events, Returned;
    }

    /// <summary>Of struct statx what is asked for.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal struct StatX
    {
        [FieldOffset(0)] internal uint Mask;
        [FieldOffset(16)] internal uint Links;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int close(int fd);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int dup3(int from, int to, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int statx(int fd, byte* path, int flags, uint mask, StatX* result);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int poll(PollFd* watched, ulong count, int milliseconds);

    [LibraryImport("libc", SetLastError = true)]
    private static partial long syscall(long number, long first, long second, long third, long fourth);

    internal static int pidfd_open(int process) => (int)syscall(SYS_pidfd_open, process, 0, 0, 0);

    internal static int pidfd_send_signal(int process, int signal) => (int)syscall(SYS_pidfd_send_signal, process, signal, 0, 0);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int mkdirat(int directory, string path, uint mode);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int unlinkat(int directory, string path, int flags);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int renameat(int fromDirectory, string from, int toDirectory, string to);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int linkat(int fromDirectory, string from, int toDirectory, string to, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint preadv2(int fd, IoVector* vectors, int count, long offset, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint pwritev2(int fd, IoVector* vectors, int count, long offset, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint read(int fd, void* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint write(int fd, void* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint getdents64(int fd, void* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial long lseek(int fd, long offset, int whence);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int ftruncate(int fd, long length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int fallocate(int fd, int mode, long offset, long length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int fsync(int fd);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int fdatasync(int fd);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int syncfs(int fd);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int fcntl(int fd, int command, Flock* argument);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int eventfd(uint initial, int flags);
}
