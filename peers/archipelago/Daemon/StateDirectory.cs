using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Archipelago.Runtime;
using Microsoft.Win32.SafeHandles;

namespace Archipelago.Cli.Daemon;

/// <summary>
/// The state directory: the lock that says who runs, where processes answer, sockets, the log of a detached process, and (embedded
/// default) the objects. <c>up</c> holds the lock alone; processes of <c>run</c> share it.
/// </summary>
internal sealed class StateDirectory : IDisposable
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private SafeFileHandle? _lock;
    private Announcement? _announcement;

    internal StateDirectory(string? given) => Path = System.IO.Path.GetFullPath(given ?? Default());

    /// <summary>Absolute path.</summary>
    internal string Path { get; }
    internal string File(string name) => System.IO.Path.Combine(Path, name);
    internal string LogPath => File("log");
    private string LockPath => File("lock");

    /// <summary>Where the segment is unless the configuration says otherwise.</summary>
    internal string DefaultSegment
    {
        get
        {
            string name = new([.. System.IO.Path.GetFileName(Path).Select(c => char.IsAsciiLetterOrDigit(c) ? c : '-')]);
            string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Path)))[..8];
            return $"/dev/shm/archipelago/{(name.Length > 32 ? name[..32] : name)}-{hash}";
        }
    }

    internal static string Default() => Environment.UserName == "root" || Environment.GetEnvironmentVariable("HOME") is not { Length: > 0 } home
        ? "/var/lib/archipelago" : System.IO.Path.Combine(home, ".local/state/archipelago");

    /// <summary>Takes the lock, and makes the directory if need be.</summary>
    /// <exception cref="ErrnoException">EBUSY: somebody else runs here.</exception>
    internal void Take(bool alone)
    {
        if (System.IO.File.Exists(Path)) throw new ErrnoException(Errno.ENOTDIR, $"{Path} is a file; --state names a directory");
        try
        {
            Directory.CreateDirectory(Path, OwnerOnly);
            _lock = TryLock(alone);
            if (_lock is not null && alone) System.IO.File.WriteAllText(File("holder"), Environment.ProcessId.ToString(CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (FileFault.Is(e))
        {
            throw FileFault.Tell(e, $"the state directory {Path} cannot be used; choose another with --state");
        }

        if (_lock is null)
        {
            string who = string.Join(", ", Announced().Select(p => p.Pid));
            if (who.Length == 0 && Holder() is { } holder) who = $"{holder}, starting";
            throw new ErrnoException(Errno.EBUSY, $"{Path}: archipelago runs here already (process {(who.Length > 0 ? who : "unknown")}); see `archipelago status`, stop it with `archipelago down`, or choose another --state directory");
        }

        foreach (string file in Announcement.Files(Path))
            if (!Announcement.IsHeld(file)) System.IO.File.Delete(file);
    }

    /// <summary>The process that has the directory for itself, also while it starts; null if none has, or it does not say.</summary>
    internal int? Holder()
    {
        try
        {
            // Only looked at: whoever starts meanwhile must not find it taken by us.
            using var file = System.IO.File.OpenHandle(LockPath, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            if (!OfdLock.IsHeld(file, LockPath, alone: true)) return null;
            return int.TryParse(System.IO.File.ReadAllText(File("holder")), CultureInfo.InvariantCulture, out int pid) && pid > 0 ? pid : null;
        }
        catch (Exception e) when (FileFault.Is(e))
        {
            return null;
        }
    }

    /// <summary>Tells clients where this process answers.</summary>
    internal void Announce(string socket) => _announcement = Announcement.Make(File($"process.{Environment.ProcessId}"), socket);

    /// <summary>The processes that live and have said where they answer.</summary>
    internal IReadOnlyList<(int Pid, string Socket)> Announced()
    {
        var found = new List<(int, string)>();
        foreach (string file in Announcement.Files(Path))
        {
            try
            {
                if (Announcement.IsHeld(file)) found.Add((Announcement.ProcessOf(file), System.IO.File.ReadAllText(file).Trim()));
            }
            catch (IOException)
            {
                // It has just ended.
            }
        }

        return found;
    }

    private SafeFileHandle? TryLock(bool alone)
    {
        var file = System.IO.File.OpenHandle(LockPath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
        try
        {
            if (OfdLock.TryTake(file, LockPath, alone)) return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }

        file.Dispose();
        return null;
    }

    public void Dispose()
    {
        _announcement?.Dispose();
        _lock?.Dispose();
    }
}
