using Archipelago.Filed.Native;
using Archipelago.Xseg;

namespace Archipelago.Filed.Storage;

/// <summary>
/// Makes a compare-and-swap one step among all threads of all processes that serve the directory: a byte of the file <c>swap.lock</c>, which one
/// follows from the object's hash, locked through a descriptor of the thread's own. One per thread.
/// </summary>
internal sealed unsafe class SwapLock(int root)
{
    internal const string FileName = "swap.lock";
    private const short Write = 1, None = 2;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    // For the life of the thread, and so of the process or the test: never closed.
    private int _fd = -1;
    private long _held;

    /// <summary>0, or −errno: −EBUSY if another process has held it for a long time, so is stopped in the middle of a swap.</summary>
    internal int Enter(Hash128 hash)
    {
        if (_fd < 0) _fd = Sys.Open(root, FileName, Libc.O_RDWR | Libc.O_CREAT);
        if (_fd < 0) return _fd;
        _held = (long)(hash.Low >> 2);
        long until = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        while (true)
        {
            int result = Set(Write);
            if (result is not (-XsegErrno.EAGAIN or -XsegErrno.EACCES)) return result;
            // Waiting in the kernel could not be given up.
            if (Environment.TickCount64 > until) return -XsegErrno.EBUSY;
            Thread.Sleep(1);
        }
    }

    internal void Leave() => _ = Set(None);

    private int Set(short type)
    {
        var request = new Libc.Flock { Type = type, Start = _held, Length = 1 };
        while (Libc.fcntl(_fd, Libc.F_OFD_SETLK, &request) != 0)
            if (Sys.LastError != XsegErrno.EINTR) return -Sys.LastError;
        return 0;
    }
}
