using System.Runtime.InteropServices;
using Archipelago.Xseg.Native;

namespace Archipelago.Xseg.Memory;

/// <summary>
/// Kernel locks on bytes of the file <c>locks</c>: byte p is held by the process that serves port p, for life. They are
/// open-file-description locks (fcntl(2)), which the kernel releases when the last thread of the process is gone, after its
/// memory: whoever gets the lock knows that the dead one stores nothing any more. A stopped or hung process keeps its locks.
/// </summary>
public sealed unsafe class SegmentLocks : IDisposable
{
    /// <summary>Byte that serialises create, destroy, bind and recovery.</summary>
    public const int MaintenanceByte = 1 << 20;

    private readonly string _path;
    private int _fd;

    private SegmentLocks(string path, int fd) => (_path, _fd) = (path, fd);

    /// <summary>Inode number of the open file: which file it is, whatever has its name now.</summary>
    internal ulong Inode { get; private init; }

    internal static SegmentLocks Open(string directory)
    {
        string path = Path.Combine(directory, Segment.LocksName);
        int fd = Libc.open(path, Libc.O_RDWR | Libc.O_CREAT | Libc.O_CLOEXEC, 0x180 /* 0600 */);
        if (fd < 0) throw Failure(path, "cannot be opened");
        Libc.FileStatus status;
        if (Libc.statx(fd, "", Libc.AT_EMPTY_PATH, Libc.STATX_INO, &status) != 0)
        {
            var failure = Failure(path, "cannot be examined");
            _ = Libc.close(fd);
            throw failure;
        }

        return new SegmentLocks(path, fd) { Inode = status.Inode };
    }

    /// <summary>Takes the lock of byte <paramref name="index"/>; false if another open segment holds it.</summary>
    public bool TryTake(int index)
    {
        var request = Request(Libc.F_WRLCK, index);
        while (Libc.fcntl(_fd, Libc.F_OFD_SETLK, &request) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            if (error is Libc.EAGAIN or Libc.EACCES) return false;
            if (error != Libc.EINTR) throw Failure(_path, $"byte {index} cannot be locked");
        }

        return true;
    }

    /// <summary>Waits for the lock of byte <paramref name="index"/>.</summary>
    public void Take(int index)
    {
        var request = Request(Libc.F_WRLCK, index);
        while (Libc.fcntl(_fd, Libc.F_OFD_SETLKW, &request) != 0)
            if (Marshal.GetLastPInvokeError() != Libc.EINTR) throw Failure(_path, $"byte {index} cannot be locked");
    }

    /// <summary>Gives the lock of byte <paramref name="index"/> back.</summary>
    public void Release(int index)
    {
        var request = Request(Libc.F_UNLCK, index);
        if (Libc.fcntl(_fd, Libc.F_OFD_SETLK, &request) != 0) throw Failure(_path, $"byte {index} cannot be unlocked");
    }

    /// <summary>True if another open segment, here or in another process, holds byte <paramref name="index"/>: its peer lives.</summary>
    public bool IsHeldElsewhere(int index)
    {
        var request = Request(Libc.F_WRLCK, index);
        if (Libc.fcntl(_fd, Libc.F_OFD_GETLK, &request) != 0) throw Failure(_path, $"byte {index} cannot be tested");
        return request.Type != Libc.F_UNLCK;
    }

    /// <summary>The maintenance lock, held until disposed.</summary>
    public MaintenanceLock Maintain()
    {
        Take(MaintenanceByte);
        return new MaintenanceLock(this);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_fd >= 0) _ = Libc.close(_fd);
        _fd = -1;
    }

    private static Libc.Flock Request(short type, int index) => new() { Type = type, Start = index, Length = 1 };

    private static XsegException Failure(string path, string what)
    {
        int error = Marshal.GetLastPInvokeError();
        return new XsegException(error, $"{path}: {what}: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    /// <summary>Releases the maintenance lock when disposed.</summary>
    public readonly ref struct MaintenanceLock(SegmentLocks locks)
    {
        /// <summary>Gives the lock back.</summary>
        public void Dispose() => locks.Release(MaintenanceByte);
    }
}
