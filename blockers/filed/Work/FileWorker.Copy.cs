using Archipelago.Filed.Native;
using Archipelago.Filed.Scheduling;
using Archipelago.Xseg;

namespace Archipelago.Filed.Work;

/// <summary>COPY: into a temporary file, which is made stable and then takes the target's name. All or nothing.</summary>
internal sealed unsafe partial class FileWorker
{
    private int Copy(FileJob job)
    {
        var (source, target) = (job.SourceObject!, job.Object!);
        int from = Open(job, source, create: false);
        if (from < 0) return from == -XsegErrno.ENOENT ? XsegErrno.ENOENT : Status(job, from, "open of the source");
        if ((job.Request.Flags & RequestFlags.Exclusive) != 0)
        {
            int there = Open(job, target, create: false);
            if (there >= 0) return XsegErrno.EEXIST;
            if (there != -XsegErrno.ENOENT) return Status(job, there, "open");
        }

        long size = Sys.SizeOf(from);
        if (size < 0) return Status(job, size, "size of the source");
        size = Math.Min(size, (long)job.Request.Length);
        string path = tree.TemporaryPath();
        int to = tree.Open(path, Libc.O_CREAT | Libc.O_EXCL);
        if (to < 0) return Status(job, to, "create");

        int status = Status(job, Sys.Truncate(to, size), "truncate");
        if (status == 0) status = CopyData(job, from, to, size);
        // Before the name: after a crash it names the old content or the new one, never a part.
        if (status == 0) status = Status(job, Sys.DataSync(to), "fdatasync");
        if (status == 0) status = Status(job, Replace(path, target.Path), "rename");
        if (status != 0)
        {
            _ = Libc.close(to);
            _ = Sys.Unlink(tree.Root, path);
            return status;
        }

        CloseFiles(target);
        target.Fd = to;
        ChangedEntry(job, target);
        job.IsStable = true;
        job.Serviced = (ulong)size;
        return 0;
    }

    private int Replace(string path, string target)
    {
        int status = Sys.Move(tree.Root, path, target, keepOld: false);
        if (status != -XsegErrno.ENOENT) return status;
        status = tree.MakeParents(target);
        return status < 0 ? status : Sys.Move(tree.Root, path, target, keepOld: false);
    }

    /// <summary>Copies the parts of the source that hold data: holes stay holes.</summary>
    private int CopyData(FileJob job, int from, int to, long size)
    {
        for (long at = 0; at < size;)
        {
            long start = Libc.lseek(from, at, Libc.SEEK_DATA);
            // ENXIO: only a hole is left. A file system without holes says that everything is data.
            if (start < 0 && Sys.LastError == XsegErrno.ENXIO) return 0;
            if (start < 0) return Status(job, -Sys.LastError, "search for data");
            long end = Libc.lseek(from, start, Libc.SEEK_HOLE);
            if (end < 0) return Status(job, -Sys.LastError, "search for a hole");
            at = Math.Min(end, size);
            for (long done = start; done < at;)
            {
                long got = Sys.ReadAll(from, Buffer(), Math.Min(BufferSize, at - done), done);
                if (got < 0) return Status(job, got, "read of the source");
                if (got == 0) return 0;
                int status = Status(job, Sys.WriteAll(to, Buffer(), got, done), "write");
                if (status != 0) return status;
                done += got;
            }
        }

        return 0;
    }
}
