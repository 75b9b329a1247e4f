#pragma warning disable CA1416 // Runs on Linux only; the project builds for every platform, so the analyzer cannot know.
using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Archipelago.Runtime.Control;

/// <summary>
/// The right to listen on a socket path: a lock on <c>PATH.lock</c>, which the kernel releases when the process dies, decides between
/// a living owner and a stale file; never a time-out, and no race between two processes that start at once. The lock file stays.
/// </summary>
internal sealed partial class ControlSocket : IDisposable
{
    private const int LockExclusive = 2;
    private const int LockNonBlocking = 4;
    private const uint OwnerOnly = 0x180; // 0600

    private readonly SafeFileHandle _lock;

    private ControlSocket(string path, SafeFileHandle heldLock)
    {
        Path = path;
        _lock = heldLock;
    }

    public string Path { get; }

    /// <summary>
    /// Takes the path: makes its directory (0700) if need be, and removes what a dead process left. ENAMETOOLONG, EADDRINUSE if a
    /// process listens there, EEXIST if the path is no socket, EACCES, EIO.
    /// </summary>
    public static ControlSocket Claim(string path)
    {
        string full = System.IO.Path.GetFullPath(path);
        int bytes = Encoding.UTF8.GetByteCount(full);
        if (bytes > ControlOptions.MaxSocketPathBytes)
        {
            throw new ErrnoException(
                Errno.ENAMETOOLONG,
                $"control socket {full}: {bytes} bytes, but a socket's path has at most {ControlOptions.MaxSocketPathBytes}; choose a shorter one ([control] socket)");
        }

        SafeFileHandle heldLock = OpenLock(full);
        try
        {
            TakeLock(full, heldLock);
            RemoveStale(full);
            return new ControlSocket(full, heldLock);
        }
        catch
        {
            heldLock.Dispose();
            throw;
        }
    }

    /// <summary>
    /// A bound socket with mode 0600 from its first moment: the file takes the mode of the socket's own inode, so there is no time
    /// between bind and chmod in which others could connect.
    /// </summary>
    public Socket Bind()
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            if (fchmod((int)socket.Handle, OwnerOnly) != 0)
            {
                throw new ErrnoException(Marshal.GetLastPInvokeError(), $"control socket {Path}: cannot set its mode");
            }

            socket.Bind(new UnixDomainSocketEndPoint(Path));
            File.SetUnixFileMode(Path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            return socket;
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new ErrnoException(Errno.EADDRINUSE, $"control socket {Path}: cannot bind: {e.Message}", e);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        File.Delete(Path);
        _lock.Dispose();
    }

    // Opened by hand: a FileStream takes a lock of its own at once, and so cannot tell us who holds it.
    private static SafeFileHandle OpenLock(string path)
    {
        const int ReadWriteCreateCloseOnExec = 0x2 | 0x40 | 0x80000;
        try
        {
            string directory = System.IO.Path.GetDirectoryName(path)!;
            if (!Directory.Exists(directory))
            {
                Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            }
        }
        catch (Exception e) when (FileFault.Is(e))
        {
            throw FileFault.Tell(e, $"control socket {path}: its directory cannot be made; choose another path ([control] socket)");
        }

        int file = open(path + ".lock", ReadWriteCreateCloseOnExec, OwnerOnly);
        if (file < 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            throw new ErrnoException(errno, $"control socket {path}: cannot open {path}.lock: {Errno.Describe(errno)}; choose another path ([control] socket)");
        }

        return new SafeFileHandle(file, ownsHandle: true);
    }

    private static void TakeLock(string path, SafeFileHandle file)
    {
        if (flock(file, LockExclusive | LockNonBlocking) != 0)
        {
            Span<byte> owner = stackalloc byte[20];
            string pid = Encoding.ASCII.GetString(owner[..RandomAccess.Read(file, owner, 0)]).Trim();
            string who = pid.Length > 0 ? $"process {pid}" : "another process";
            throw new ErrnoException(
                Errno.EADDRINUSE,
                $"control socket {path}: {who} serves it; stop that one with `archipelago down`, or choose another path ([control] socket)");
        }

        try
        {
            RandomAccess.SetLength(file, 0);
            RandomAccess.Write(file, Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n"), 0);
        }
        catch (IOException e)
        {
            throw FileFault.Tell(e, $"control socket {path}: cannot write {path}.lock");
        }
    }

    private static void RemoveStale(string path)
    {
        if (!File.Exists(path) && !Directory.Exists(path))
        {
            return;
        }

        // Only a socket can answer or refuse; connecting to anything else refuses too, so its kind is asked first.
        if (!IsSocket(path))
        {
            throw new ErrnoException(Errno.EEXIST, $"control socket {path}: the path exists and is not a socket; remove it or choose another path ([control] socket)");
        }

        try
        {
            using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { Blocking = false };
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            File.Delete(path);
            return;
        }
        catch (SocketException e) when (e.SocketErrorCode != SocketError.WouldBlock)
        {
            throw new ErrnoException(Errno.EADDRINUSE, $"control socket {path}: cannot tell whether it is in use: {e.Message}", e);
        }

        throw new ErrnoException(Errno.EADDRINUSE, $"control socket {path}: a program that holds no lock on it answers there; stop it, or choose another path ([control] socket)");
    }

    private static unsafe bool IsSocket(string path)
    {
        // statx has one layout on all architectures: stx_mode is at byte 28.
        const int CurrentDirectory = -100;
        const int NoFollow = 0x100;
        const uint TypeMask = 1;
        const int FormatMask = 0xF000;
        const int FormatSocket = 0xC000;
        byte* status = stackalloc byte[256];
        return statx(CurrentDirectory, path, NoFollow, TypeMask, status) == 0
            && (*(ushort*)(status + 28) & FormatMask) == FormatSocket;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int flock(SafeFileHandle file, int operation);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fchmod(int file, uint mode);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int statx(int directory, string path, int flags, uint mask, byte* status);
}
