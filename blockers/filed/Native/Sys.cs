using System.Runtime.InteropServices;
using Archipelago.Xseg;

namespace Archipelago.Filed.Native;

/// <summary>System calls with the errno as result: 0 or above is success, below is −errno. Interrupted calls are repeated.</summary>
internal static unsafe class Sys
{
    internal const int EOPNOTSUPP = XsegErrno.ENOTSUP, EDQUOT = 122, ENOTDIR = 20, EXDEV = 18, ENOSYS = 38;

    internal static int LastError => Marshal.GetLastPInvokeError();

    internal static int Open(int directory, string path, int flags)
    {
        while (true)
        {
            int fd = Libc.openat(directory, path, flags | Libc.O_CLOEXEC, 0x180 /* 0600 */);
            if (fd >= 0) return fd;
            if (LastError != XsegErrno.EINTR) return -LastError;
        }
    }

    /// <summary>fdatasync(2).</summary>
    internal static int DataSync(int fd)
    {
        while (Libc.fdatasync(fd) != 0)
            if (LastError != XsegErrno.EINTR) return -LastError;
        return 0;
    }

    internal static int Sync(int fd)
    {
        while (Libc.fsync(fd) != 0)
            if (LastError != XsegErrno.EINTR) return -LastError;
        return 0;
    }

    internal static int SyncFileSystem(int fd)
    {
        while (Libc.syncfs(fd) != 0)
            if (LastError != XsegErrno.EINTR) return -LastError;
        return 0;
    }

    internal static int Truncate(int fd, long size)
    {
        while (Libc.ftruncate(fd, size) != 0)
            if (LastError != XsegErrno.EINTR) return -LastError;
        return 0;
    }

    internal static int Allocate(int fd, int mode, long offset, long length)
    {
        while (Libc.fallocate(fd, mode, offset, length) != 0)
            if (LastError != XsegErrno.EINTR) return -LastError;
        return 0;
    }

    internal static int Unlink(int directory, string path) => Libc.unlinkat(directory, path, 0) == 0 ? 0 : -LastError;

    /// <summary>Size of an open file, or −errno.</summary>
    internal static long SizeOf(int fd)
    {
        long size = Libc.lseek(fd, 0, Libc.SEEK_END);
        return size >= 0 ? size : -LastError;
    }

    /// <summary>One read into one buffer, short at the end of the file only; −errno.</summary>
    internal static long ReadAll(int fd, byte* buffer, long length, long offset)
    {
        long done = 0;
        while (done < length)
        {
            var vector = new Libc.IoVector { Base = buffer + done, Length = (nuint)(length - done) };
            nint got = Libc.preadv2(fd, &vector, 1, offset + done, 0);
            if (got < 0 && LastError == XsegErrno.EINTR) continue;
            if (got < 0) return -LastError;
            if (got == 0) break;
            done += got;
        }

        return done;
    }

    /// <summary>Writes all of a buffer: 0 or −errno.</summary>
    internal static int WriteAll(int fd, byte* buffer, long length, long offset)
    {
        for (long done = 0; done < length;)
        {
            var vector = new Libc.IoVector { Base = buffer + done, Length = (nuint)(length - done) };
            nint put = Libc.pwritev2(fd, &vector, 1, offset + done, 0);
            if (put < 0 && LastError == XsegErrno.EINTR) continue;
            if (put < 0) return -LastError;
            if (put == 0) return -XsegErrno.EIO;
            done += put;
        }

        return 0;
    }

    /// <summary>What a request gets for an errno of the file system.</summary>
    internal static int StatusOf(long result) => result >= 0 ? 0 : (int)-result switch
    {
        EDQUOT => XsegErrno.ENOSPC,
        XsegErrno.ENOSPC => XsegErrno.ENOSPC,
        XsegErrno.EROFS => XsegErrno.EROFS,
        XsegErrno.EFBIG => XsegErrno.EFBIG,
        XsegErrno.ENOMEM => XsegErrno.ENOMEM,
        _ => XsegErrno.EIO,
    };
}
