using System.Runtime.InteropServices;
using Archipelago.Xseg;

namespace Archipelago.Filed.Native;

/// <summary>System calls with the errno as result: 0 or above is success, below is −errno. Interrupted calls are repeated.</summary>
internal static unsafe class Sys
{
    internal const int EOPNOTSUPP = XsegErrno.ENOTSUP, EDQUOT = 122, ENOTDIR = 20, EXDEV = 18, ENOSYS = 38, ELOOP = 40, ESRCH = 3;

    internal static int LastError => Marshal.GetLastPInvokeError();

    /// <summary>Linux 5.6 and later; some sandboxes refuse it.</summary>
    private static readonly bool s_openat2 = HasOpenat2();

    /// <summary>
    /// Opens a path below an open directory, without following a symbolic link anywhere in it: ELOOP. (Without openat2 the last part is
    /// guarded, not the directories above it.) From the current directory any path, links followed.
    /// </summary>
    internal static int Open(int directory, string path, int flags)
    {
        while (true)
        {
            int fd = directory == Libc.AT_FDCWD ? Libc.openat(directory, path, flags | Libc.O_CLOEXEC, 0)
                : s_openat2 ? OpenBeneath(directory, path, flags)
                : Libc.openat(directory, path, flags | Libc.O_CLOEXEC | Libc.O_NOFOLLOW, OwnerOnly);
            if (fd >= 0) return fd;
            if (LastError is not (XsegErrno.EINTR or XsegErrno.EAGAIN)) return -LastError;
        }
    }

    private const uint OwnerOnly = 0x180; // 0600

    private static int OpenBeneath(int directory, string path, int flags)
    {
        var how = new Libc.OpenHow
        {
            Flags = (uint)(flags | Libc.O_CLOEXEC),
            Mode = (flags & Libc.O_CREAT) != 0 ? OwnerOnly : 0,
            Resolve = Libc.RESOLVE_BENEATH | Libc.RESOLVE_NO_SYMLINKS,
        };
        return (int)Libc.syscall(Libc.SYS_openat2, directory, path, &how, (nuint)sizeof(Libc.OpenHow));
    }

    private static bool HasOpenat2()
    {
        var how = new Libc.OpenHow { Flags = (uint)(Libc.O_PATH | Libc.O_CLOEXEC) };
        int fd = (int)Libc.syscall(Libc.SYS_openat2, Libc.AT_FDCWD, "/", &how, (nuint)sizeof(Libc.OpenHow));
        if (fd < 0) return false;
        _ = Libc.close(fd);
        return true;
    }

    /// <summary>
    /// The directory of a path below <paramref name="root"/>, opened as <see cref="Open"/> does, for calls that would follow links in it; −errno.
    /// The caller gives it to <see cref="CloseParent"/>.
    /// </summary>
    internal static int OpenParent(int root, string path, out string leaf)
    {
        int slash = path.LastIndexOf('/');
        leaf = path[(slash + 1)..];
        return slash < 0 ? root : Open(root, path[..slash], Libc.O_PATH | Libc.O_DIRECTORY);
    }

    internal static void CloseParent(int root, int parent)
    {
        if (parent >= 0 && parent != root) _ = Libc.close(parent);
    }

    /// <summary>What an errno of an operation below the directory means.</summary>
    internal static string Describe(int error) => error is ELOOP or EXDEV
        ? "there is a symbolic link in its path, which filed does not follow; put the file or directory itself there (a bind mount works)"
        : Marshal.GetPInvokeErrorMessage(error);

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

    internal static int Unlink(int root, string path)
    {
        int parent = OpenParent(root, path, out string leaf);
        if (parent < 0) return parent;
        int result = Libc.unlinkat(parent, leaf, 0) == 0 ? 0 : -LastError;
        CloseParent(root, parent);
        return result;
    }

    /// <summary>renameat(2), or linkat(2) where the old name stays.</summary>
    internal static int Move(int root, string from, string to, bool keepOld)
    {
        int fromParent = OpenParent(root, from, out string old), toParent = OpenParent(root, to, out string name);
        int result = Math.Min(fromParent, toParent);
        if (result >= 0)
        {
            bool done = keepOld ? Libc.linkat(fromParent, old, toParent, name, 0) == 0 : Libc.renameat(fromParent, old, toParent, name) == 0;
            result = done ? 0 : -LastError;
        }

        CloseParent(root, fromParent);
        CloseParent(root, toParent);
        return result;
    }

    /// <summary>Whether the file has a name in some directory; false also where that cannot be told any more.</summary>
    internal static bool HasName(int fd)
    {
        Libc.StatX found = default;
        byte empty = 0;
        return Libc.statx(fd, &empty, Libc.AT_EMPTY_PATH, Libc.STATX_NLINK, &found) == 0 && found.Links > 0;
    }

    /// <summary>
    /// Lets the descriptor <paramref name="number"/> be the file of <paramref name="fd"/>, which is closed: in one step, while others may be using
    /// it. The number, or −errno.
    /// </summary>
    internal static int Replace(int fd, int number)
    {
        int result = Libc.dup3(fd, number, Libc.O_CLOEXEC);
        int error = LastError;
        _ = Libc.close(fd);
        return result >= 0 ? result : -error;
    }

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
