using System.Runtime.InteropServices;
using Archipelago.Runtime;
using Microsoft.Win32.SafeHandles;

namespace Archipelago.Cli.Daemon;

/// <summary>
/// Locks of open files (F_OFD_SETLK), on the whole file: the kernel releases one with the last thread of its process, and says whether one
/// is held to who does not take it. Independent of the flock that .NET takes at every open.
/// </summary>
internal static partial class OfdLock
{
    private const int GetLock = 36, SetLock = 37; // F_OFD_GETLK, F_OFD_SETLK
    private const short ReadLock = 0, WriteLock = 1, Unlocked = 2;

    /// <summary>Takes the lock, <paramref name="alone"/> or shared, for as long as the file is open; false if others have one that is against it.</summary>
    /// <exception cref="ErrnoException">The file cannot be locked at all.</exception>
    internal static bool TryTake(SafeFileHandle file, string path, bool alone)
    {
        var whole = new FileLock { Type = alone ? WriteLock : ReadLock };
        if (fcntl(file, SetLock, ref whole) == 0) return true;
        int error = Marshal.GetLastPInvokeError();
        // POSIX leaves the choice.
        return error is Errno.EAGAIN or Errno.EACCES ? false : throw Failure(error, path, "cannot be locked");
    }

    /// <summary>True if somebody holds a lock; with <paramref name="alone"/> only if he has the file for himself. Takes none.</summary>
    internal static bool IsHeld(SafeFileHandle file, string path, bool alone = false)
    {
        // Asks for what would be against it: a shared one only where somebody has it alone.
        var whole = new FileLock { Type = alone ? ReadLock : WriteLock };
        return fcntl(file, GetLock, ref whole) == 0 ? whole.Type != Unlocked : throw Failure(Marshal.GetLastPInvokeError(), path, "its lock cannot be tested");
    }

    private static ErrnoException Failure(int error, string path, string what) => new(error, $"{path}: {what}: {Marshal.GetPInvokeErrorMessage(error)}");

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
