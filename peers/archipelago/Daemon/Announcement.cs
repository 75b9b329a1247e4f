using System.Globalization;
using System.Text;
using Archipelago.Runtime;
using Microsoft.Win32.SafeHandles;

namespace Archipelago.Cli.Daemon;

/// <summary>
/// The file <c>process.PID</c>: where the process answers. It holds a kernel lock on it for life, so that a killed process's file
/// is believed by nobody: neither while its entry in the process table waits to be reaped, nor when its number is another's.
/// </summary>
internal sealed class Announcement : IDisposable
{
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
            if (!OfdLock.TryTake(file, path, alone: true)) throw new ErrnoException(Errno.EBUSY, $"{path}: another process has locked it");
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

        using (file) return OfdLock.IsHeld(file, path);
    }

    public void Dispose()
    {
        File.Delete(_path);
        _file.Dispose();
    }
}
