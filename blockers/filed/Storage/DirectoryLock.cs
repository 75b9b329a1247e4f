using System.Text;
using Archipelago.Filed.Native;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Filed.Storage;

/// <summary>
/// The right to serve a directory: an open-file-description lock on its file <c>lock</c>, which the kernel releases when the last
/// thread of the process, with whatever it was writing, is gone.
/// </summary>
internal sealed unsafe class DirectoryLock : IDisposable
{
    private const short ReadLock = 0, WriteLock = 1;
    private int _fd;

    private DirectoryLock(int fd) => _fd = fd;

    /// <summary>Takes the lock, for this process alone or together with others that share it. EBUSY, with the other's process id, if somebody serves the directory.</summary>
    internal static DirectoryLock Take(int root, string directory, bool shared)
    {
        int fd = Sys.Open(root, "lock", Libc.O_RDWR | Libc.O_CREAT);
        if (fd < 0) throw new ErrnoException(-fd, $"{directory}/lock: cannot be opened: {Sys.Describe(-fd)}");
        var request = new Libc.Flock { Type = shared ? ReadLock : WriteLock };
        while (Libc.fcntl(fd, Libc.F_OFD_SETLK, &request) != 0)
        {
            int error = Sys.LastError;
            if (error == XsegErrno.EINTR) continue;
            string holder = ReadHolder(fd);
            _ = Libc.close(fd);
            throw error is XsegErrno.EAGAIN or XsegErrno.EACCES
                ? new ErrnoException(Errno.EBUSY, $"{directory}: served by another filed, process {holder}; stop that one first, use another directory, or let both share it (shared = true)")
                : new ErrnoException(error, $"{directory}/lock: cannot be locked: {Errno.Describe(error)}");
        }

        byte[] text = Encoding.ASCII.GetBytes($"{Environment.ProcessId}\n");
        fixed (byte* bytes = text)
        {
            // Informative only, so that a full disk does not keep us from serving reads.
            _ = Sys.Truncate(fd, 0);
            _ = Sys.WriteAll(fd, bytes, text.Length, 0);
        }

        return new DirectoryLock(fd);
    }

    public void Dispose()
    {
        if (_fd >= 0) _ = Libc.close(_fd);
        _fd = -1;
    }

    private static string ReadHolder(int fd)
    {
        byte* bytes = stackalloc byte[16];
        long got = Sys.ReadAll(fd, bytes, 16, 0);
        string text = got > 0 ? Encoding.ASCII.GetString(bytes, (int)got).Trim() : "";
        return int.TryParse(text, out int pid) ? pid.ToString(System.Globalization.CultureInfo.InvariantCulture) : "(unknown)";
    }
}
