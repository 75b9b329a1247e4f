using Archipelago.Filed.Native;
using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Storage;
using Archipelago.Xseg;

namespace Archipelago.Filed.Work;

/// <summary>
/// ACQUIRE and RELEASE: a file per lock that holds the owner's cookie. It gets its name by link(2) once its content is stable: it
/// exists as a whole or not at all, and one of several wins. The reactor lets one lock job run at a time.
/// </summary>
internal sealed unsafe partial class FileWorker
{
    private const int CookieSize = 64;

    /// <summary>0, or EBUSY if somebody else owns the lock.</summary>
    private int Acquire(FileJob job)
    {
        string path = ObjectTree.LockPathOf(job.Request.Target);
        int status = ReadOwner(job, path, out bool exists, out bool ours);
        if (status != 0) return status;
        // Ours by an earlier life of this request: its directory entry may not be stable yet.
        if (exists) return ours ? SyncLock(job, path) : XsegErrno.EBUSY;

        string temporary = tree.TemporaryPath();
        int fd = tree.Open(temporary, Libc.O_CREAT | Libc.O_EXCL);
        if (fd < 0) return Status(job, fd, "create");
        fixed (byte* cookie = job.Request.Result) status = Status(job, Sys.WriteAll(fd, cookie, CookieSize, 0), "write");
        if (status == 0) status = Status(job, Sys.DataSync(fd), "fdatasync");
        _ = Libc.close(fd);
        if (status == 0)
        {
            int parents = tree.MakeParents(path);
            int linked = parents < 0 ? parents : Sys.Move(tree.Root, temporary, path, keepOld: true);
            status = linked == -XsegErrno.EEXIST ? XsegErrno.EBUSY : Status(job, linked, "link");
        }

        _ = Sys.Unlink(tree.Root, temporary);
        return status != 0 ? status : SyncLock(job, path);
    }

    private int Release(FileJob job)
    {
        string path = ObjectTree.LockPathOf(job.Request.Target);
        int status = ReadOwner(job, path, out bool exists, out bool ours);
        if (status != 0) return status;
        // In a replay: released by the earlier execution.
        if (!exists) return job.Request.Attempts > 0 ? SyncLock(job, path) : XsegErrno.ENOENT;
        if (!ours && (job.Request.Flags & RequestFlags.Force) == 0) return XsegErrno.EACCES;
        status = Status(job, Sys.Unlink(tree.Root, path), "unlink");
        return status != 0 ? status : SyncLock(job, path);
    }

    private int ReadOwner(FileJob job, string path, out bool exists, out bool ours)
    {
        (exists, ours) = (false, false);
        int fd = Sys.Open(tree.Root, path, Libc.O_RDONLY);
        if (fd is -XsegErrno.ENOENT) return 0;
        if (fd < 0) return Status(job, fd, "open");
        exists = true;
        byte* owner = stackalloc byte[CookieSize];
        long got = Sys.ReadAll(fd, owner, CookieSize, 0);
        _ = Libc.close(fd);
        if (got < 0) return Status(job, got, "read");
        // A short file is damaged: somebody's, and only Force removes it.
        ours = got == CookieSize && job.Request.Result.SequenceEqual(new ReadOnlySpan<byte>(owner, CookieSize));
        return 0;
    }

    private int SyncLock(FileJob job, string path)
    {
        for (string directory = path; directory.Contains('/');)
        {
            directory = directory[..directory.LastIndexOf('/')];
            int status = Status(job, tree.SyncDirectory(directory), "fsync of the lock directory");
            if (status != 0) return status;
        }

        return 0;
    }
}
