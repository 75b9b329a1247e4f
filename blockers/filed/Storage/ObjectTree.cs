using Archipelago.Filed.Native;
using Archipelago.Xseg;

namespace Archipelago.Filed.Storage;

/// <summary>
/// Where objects lie below the directory: <c>objects/XX/YY/NAME</c>, XX and YY from the hash of the name; and which of these
/// directories are known to be stable themselves. Paths are relative to the open directory. Thread-safe.
/// </summary>
internal sealed class ObjectTree(int root, string temporaries = "")
{
    internal const string Objects = "objects", Temporary = "tmp";

    // Set once the entry of the directory in its parent was made stable by this process; directories are never removed.
    private readonly bool[] _firstStable = new bool[256];
    private readonly bool[] _secondStable = new bool[256 * 256];
    private long _temporary;

    /// <summary>The directory of the peer.</summary>
    internal int Root => root;

    internal static string PathOf(Hash128 hash, ReadOnlySpan<byte> name) =>
        $"{Objects}/{First(hash):x2}/{Second(hash):x2}/{FileNames.Encode(name)}";

    /// <summary>A path for a new temporary file, in no other process's way: these are deleted at start.</summary>
    internal string TemporaryPath() => $"{Temporary}/{temporaries}{Interlocked.Increment(ref _temporary)}";

    /// <summary>Opens for reading and writing; with O_CREAT directories are made as well. −errno.</summary>
    internal int Open(string path, int flags)
    {
        int fd = Sys.Open(root, path, flags | Libc.O_RDWR);
        if (fd != -XsegErrno.ENOENT || (flags & Libc.O_CREAT) == 0) return fd;
        int status = MakeParents(path);
        return status < 0 ? status : Sys.Open(root, path, flags | Libc.O_RDWR);
    }

    internal int MakeParents(string path)
    {
        // Step by step, each from the one before: what is there under such a name may be a link to somewhere else.
        int at = root, status = 0;
        foreach (string part in path.Split('/')[..^1])
        {
            if (Libc.mkdirat(at, part, 0x1C0 /* 0700 */) != 0 && Sys.LastError != XsegErrno.EEXIST) status = -Sys.LastError;
            int next = status < 0 ? status : Sys.Open(at, part, Libc.O_PATH | Libc.O_DIRECTORY);
            Sys.CloseParent(root, at);
            (at, status) = (next, Math.Min(next, 0));
            if (next < 0) break;
        }

        Sys.CloseParent(root, at);
        return status;
    }

    /// <summary>Makes the entry of an object, or its absence, stable, with all directories above it. 0 or −errno.</summary>
    internal int SyncEntry(Hash128 hash, string path)
    {
        int first = (int)First(hash), second = first << 8 | (int)Second(hash);
        string leaf = path[..path.LastIndexOf('/')];
        const int TreeDepth = 3;
        // From the bottom up; the parts of a long name are directories that are too few to remember.
        for (int depth = leaf.Count(c => c == '/') + 1; depth >= 1; depth--)
        {
            bool known = (depth == TreeDepth - 1 && Volatile.Read(ref _secondStable[second])) || (depth == TreeDepth - 2 && Volatile.Read(ref _firstStable[first]));
            if (!known)
            {
                int status = SyncDirectory(leaf);
                // A deletion of what was never there may find no directory.
                if (status < 0 && status != -XsegErrno.ENOENT) return status;
                if (depth == TreeDepth - 1 && status == 0) Volatile.Write(ref _secondStable[second], true);
                if (depth == TreeDepth - 2 && status == 0) Volatile.Write(ref _firstStable[first], true);
            }

            if (depth > 1) leaf = leaf[..leaf.LastIndexOf('/')];
        }

        return 0;
    }

    internal int SyncDirectory(string path)
    {
        int fd = Sys.Open(root, path, Libc.O_RDONLY | Libc.O_DIRECTORY);
        if (fd < 0) return fd;
        int status = Sys.Sync(fd);
        _ = Libc.close(fd);
        return status;
    }

    private static ulong First(Hash128 hash) => hash.Low & 255;

    private static ulong Second(Hash128 hash) => (hash.Low >> 8) & 255;
}
