using System.Runtime.InteropServices;
using System.Text;
using Archipelago.Filed.Native;
using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Storage;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;

namespace Archipelago.Filed.Work;

/// <summary>READ with LIST: the cursor is the number of a directory of the tree, whose names are listed whole.</summary>
internal sealed unsafe partial class FileWorker
{
    private const int Directories = 256 * 256;

    private int List(FileJob job)
    {
        var names = job.Names!;
        for (ulong number = names.Cursor; number < Directories; number++)
        {
            string first = $"{ObjectTree.Objects}/{number >> 8:x2}";
            // A directory that was never needed: nor were those below it.
            if ((number & 255) == 0 && !Exists(first))
            {
                number |= 255;
                continue;
            }

            names.BeginPosition(number);
            int status = ListDirectory(job, $"{first}/{number & 255:x2}", "");
            if (status == XsegErrno.EOVERFLOW) break;
            if (status != 0) return status;
        }

        if (names.Status != 0) job.Detail = $"listing: the names of {ObjectTree.Objects}/{names.Cursor >> 8:x2}/{names.Cursor & 255:x2} or of one behind it do not fit";
        return names.Status;
    }

    /// <summary>Lists one directory and those below it, where long names go on; EOVERFLOW if not all of it fitted.</summary>
    private int ListDirectory(FileJob job, string path, string prefix)
    {
        int fd = Sys.Open(tree.Root, path, Libc.O_RDONLY | Libc.O_DIRECTORY);
        if (fd == -XsegErrno.ENOENT) return 0;
        if (fd < 0) return Status(job, fd, $"open of {path}");
        // Not the worker's own buffer: this calls itself.
        byte[] entries = new byte[32 << 10];
        int status = 0;
        while (status == 0)
        {
            nint got;
            fixed (byte* at = entries) got = Libc.getdents64(fd, at, (nuint)entries.Length);
            if (got < 0 && Sys.LastError == XsegErrno.EINTR) continue;
            if (got < 0) status = Status(job, -Sys.LastError, $"reading of {path}");
            if (got <= 0) break;
            status = AddAll(job, entries.AsSpan(0, (int)got), path, prefix);
        }

        _ = Libc.close(fd);
        return status;
    }

    private int AddAll(FileJob job, ReadOnlySpan<byte> entries, string path, string prefix)
    {
        // struct linux_dirent64: inode and offset (8 bytes each), length of the record (2), type (1), name up to a NUL.
        const int LengthAt = 16, NameAt = 19;
        int status = 0;
        while (!entries.IsEmpty && status == 0)
        {
            int length = MemoryMarshal.Read<ushort>(entries[LengthAt..]);
            var bytes = entries[NameAt..length];
            string entry = Encoding.Latin1.GetString(bytes[..bytes.IndexOf((byte)0)]);
            entries = entries[length..];
            // No object's file begins with a dot or ends with a plus.
            if (entry[0] == '.') continue;
            if (entry[^1] == '+') status = ListDirectory(job, $"{path}/{entry}", $"{prefix}{entry}/");
            else if (FileNames.TryDecode(prefix + entry, out byte[] name) && !job.Names!.TryAdd(name)) status = XsegErrno.EOVERFLOW;
        }

        return status;
    }

    private bool Exists(string path)
    {
        int fd = Sys.Open(tree.Root, path, Libc.O_PATH | Libc.O_DIRECTORY);
        if (fd >= 0) _ = Libc.close(fd);
        // Of all else the directories below it tell.
        return fd != -XsegErrno.ENOENT;
    }
}
