using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Archipelago.Runtime;
using Microsoft.Win32.SafeHandles;

namespace Archipelago.Cli.Daemon;

/// <summary>
/// The file <c>process.PID</c>: where the process answers. It holds a kernel lock on it for life, so that a killed process's file
/// is believed by nobody: neither while its entry in the process table waits to be reaped, nor when its number is another's.
/// </summary>
internal sealed partial class Announcement : IDisposable
{
    private const int GetLock = 36, SetLock = 37; // F_OFD_GETLK, F_OFD_SETLK: the kernel releases it with the last thread.
    private const short WriteLock = 1, Unlocked = 2;

    private readonly string _path;
    private readonly SafeFileHandle _file;

    private Announcement(string path, SafeFileHandle file) => (_path, _file) = (path, file);

    /// <summary>Writes and locks a file, then gives it its name.</summary>
    internal static Announcement Make(string path, string socket)
    {
        SafeFileHandle? file = null;
        try
        {
            file = File.OpenHandle(path + ".new", FileMode.Create, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            RandomAccess.Write(file, Encoding.UTF8.GetBytes(socket + "\n"), 0);
            var whole = new FileLock { Type = WriteLock };
            if (fcntl(file, SetLock, ref whole) != 0) throw Failure(path, "cannot be locked");
            File.Move(path + ".new", path, overwrite: true);
            return new Announcement(path, file);
        }
        catch (Exception e)
        {
            file?.Dispose();
            if (FileFault.Is(e)) throw FileFault.Tell(e, $"{path} cannot be written");
            throw;
        }
    }

    /// <summary>The announcements in a state directory, also those of the dead.</summary>
    internal static IEnumerable<string> Files(string directory) => !Directory.Exists(directory) ? []
        : Directory.EnumerateFiles(directory, "process.*").Where(file => ProcessOf(file) > 0).Order(StringComparer.Ordinal);

    /// <summary>Process that wrote the file; 0 if it is no announcement.</summary>
    internal static int ProcessOf(string path) =>
        int.TryParse(Path.GetExtension(path.AsSpan()).TrimStart('.'), NumberStyles.None, CultureInfo.InvariantCulture, out int pid) ? pid : 0;

    /// <summary>True if the kernel says that the process that wrote it lives.</summary>
    internal static bool IsHeld(string path)
    {
        SafeFileHandle file;
        try
        {
            file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        }
        catch (FileNotFoundException)
        {
            return false;
        }

        using (file)
        {
            var whole = new FileLock { Type = WriteLock };
            if (fcntl(file, GetLock, ref whole) != 0) throw Failure(path, "its lock cannot be tested");
            return whole.Type != Unlocked;
        }
    }

    public void Dispose()
    {
        File.Delete(_path);
        _file.Dispose();
    }

    private static ErrnoException Failure(string path, string what)
    {
        int error = Marshal.GetLastPInvokeError();
        return new ErrnoException(error, $"{path}: {what}: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct FileLock
    {
        internal short Type, Whence;
        internal long Start, Length;
        internal int ProcessId;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fcntl(SafeFileHandle file, int command, ref FileLock argument);
}
