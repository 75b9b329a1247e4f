using System.Runtime.InteropServices;
using System.Text;
using Archipelago.Runtime;

namespace Archipelago.Radosd;

/// <summary>Which client instance a radosd uses, or used when it died.</summary>
/// <param name="Fsid">The cluster.</param>
/// <param name="Address">The instance, as the blocklist wants it.</param>
internal sealed record Instance(string Fsid, string Address);

/// <summary>
/// The file in which a radosd names its RADOS client instance before it uses it, durably, and which it removes when it left in
/// order: an instance that is found here may have writes queued at an OSD. Locked while open, so that two peers never share it
/// (the second would fence the first). Everything blocks; any one thread at a time.
/// </summary>
internal sealed partial class InstanceRecord : IDisposable
{
    private const string Title = "archipelago radosd instance 1";
    private const int Longest = 8192;
    private readonly string _path;
    private readonly FileStream _lock;

    private InstanceRecord(string path, FileStream locked) => (_path, _lock) = (path, locked);

    /// <summary>Takes the file for this peer; its directory is made if need be.</summary>
    /// <exception cref="ErrnoException">EBUSY if another peer uses it; the system's errors.</exception>
    internal static InstanceRecord Open(string path)
    {
        string lockPath = path + ".lock";
        try
        {
            string directory = Path.GetDirectoryName(path)!;
            Directory.CreateDirectory(directory);
            var locked = new FileStream(lockPath, new FileStreamOptions
            {
                Mode = FileMode.OpenOrCreate,
                Access = FileAccess.ReadWrite,
                Share = FileShare.None,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            });
            return new InstanceRecord(path, locked);
        }
        catch (Exception e) when (FileFault.Is(e))
        {
            // .NET locks what is opened without sharing.
            bool busy = FileFault.ErrnoOf(e) == Errno.EAGAIN;
            throw new ErrnoException(busy ? Errno.EBUSY : FileFault.ErrnoOf(e),
                busy ? $"{lockPath}: another radosd uses this state file; give each its own (state)"
                    : $"{lockPath}: cannot be used: {e.Message}; give radosd a state file in a directory that it may write (state)", e);
        }
    }

    /// <summary>What is recorded; null if nothing is.</summary>
    /// <exception cref="ErrnoException">EPROTO if the file is damaged: nobody can tell then whom to fence; what the kernel said if it cannot be read.</exception>
    internal Instance? Read()
    {
        if (!File.Exists(_path)) return null;
        string[] lines;
        try
        {
            lines = new FileInfo(_path).Length > Longest ? [] : File.ReadAllText(_path, Encoding.UTF8).Split('\n');
        }
        catch (Exception e) when (FileFault.Is(e))
        {
            throw new ErrnoException(FileFault.ErrnoOf(e), $"{_path}: the state file cannot be read: {e.Message}; radosd must be able to read and write it (state)", e);
        }

        if (lines.Length == 4 && lines[0] == Title && Value(lines[1], "fsid=") is { } fsid && Value(lines[2], "address=") is { } address && lines[3] == "end")
            return new Instance(fsid, address);
        throw new ErrnoException(Errno.EPROTO, $"{_path}: not a radosd state file, or a damaged one: the instance to fence cannot be told from it. "
            + "Blocklist the former instance by hand ('ceph osd blocklist add'), then remove the file");
    }

    /// <summary>Records the instance; durable when this returns.</summary>
    internal void Write(Instance instance)
    {
        string temporary = _path + ".new";
        try
        {
            using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write))
            {
                file.Write(Encoding.UTF8.GetBytes($"{Title}\nfsid={instance.Fsid}\naddress={instance.Address}\nend"));
                file.Flush(flushToDisk: true);
            }

            File.Move(temporary, _path, overwrite: true);
        }
        catch (Exception e) when (FileFault.Is(e))
        {
            throw new ErrnoException(FileFault.ErrnoOf(e), $"{_path}: the RADOS client instance cannot be recorded: {e.Message}; nothing is served without (state)", e);
        }

        SyncDirectory();
    }

    /// <summary>Forgets the instance: it left in order, with nothing in flight.</summary>
    internal void Clear()
    {
        File.Delete(_path);
        SyncDirectory();
    }

    /// <summary>Gives the file to others.</summary>
    public void Dispose() => _lock.Dispose();

    private static string? Value(string line, string key) => line.StartsWith(key, StringComparison.Ordinal) && line.Length > key.Length ? line[key.Length..] : null;

    private void SyncDirectory()
    {
        const int closeOnExec = 0x80000;
        string directory = Path.GetDirectoryName(_path)!;
        int handle = open(directory, closeOnExec);
        int code = handle < 0 ? -1 : fsync(handle);
        int error = Marshal.GetLastPInvokeError();
        if (handle >= 0) _ = close(handle);
        if (code != 0) throw new ErrnoException(error, $"{directory}: cannot be made durable: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsync(int handle);

    [LibraryImport("libc")]
    private static partial int close(int handle);
}
