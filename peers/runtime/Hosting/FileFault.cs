namespace Archipelago.Runtime;

/// <summary>What the kernel said to file operations of .NET, as an errno.</summary>
public static class FileFault
{
    /// <summary>True for what file operations throw.</summary>
    public static bool Is(Exception e) => e is IOException or UnauthorizedAccessException;

    /// <summary>The errno; EIO where there is none.</summary>
    public static int ErrnoOf(Exception e) => e switch
    {
        UnauthorizedAccessException => Errno.EACCES,
        FileNotFoundException or DirectoryNotFoundException => Errno.ENOENT,
        PathTooLongException => Errno.ENAMETOOLONG,
        // .NET keeps the kernel's number where it has no exception of its own.
        IOException { HResult: > 0 and < 4096 } io => io.HResult,
        _ => Errno.EIO,
    };

    /// <summary>An error that says what could not be done.</summary>
    public static ErrnoException Tell(Exception e, string what) => new(ErrnoOf(e), $"{what}: {Errno.Describe(ErrnoOf(e))}", e);
}
