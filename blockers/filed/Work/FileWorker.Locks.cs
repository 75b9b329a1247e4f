using Archipelago.Filed.Native;
using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Storage;
using Archipelago.Xseg;

namespace Archipelago.Filed.Work;

/// <summary>
/// The records of locks: read, and compared and swapped in place, under the swap lock, straight at the file. They hold no place among the
/// requests of the object: a change may wait for them that has one.
/// </summary>
internal sealed unsafe partial class FileWorker
{
    private readonly SwapLock _swaps = new(tree.Root);

    private int ReadRecord(FileJob job)
    {
        var hash = Hash128.Of(job.Name!);
        int status = EnterSwap(job, hash);
        if (status != 0) return status;
        int fd = tree.Open(ObjectTree.PathOf(hash, job.Name), 0);
        status = ReadInto(job, fd, job.Fresh!);
        _swaps.Leave();
        if (fd >= 0) _ = Libc.close(fd);
        return status;
    }

    private int SwapRecord(FileJob job)
    {
        var hash = Hash128.Of(job.Name!);
        string path = ObjectTree.PathOf(hash, job.Name);
        int status = EnterSwap(job, hash);
        if (status != 0) return status;
        int fd = tree.Open(path, 0);
        byte[] current = new byte[job.Expected!.Length];
        status = ReadInto(job, fd, current);
        if (status == 0 && !current.AsSpan().SequenceEqual(job.Expected)) status = XsegErrno.EILSEQ;
        // An empty file that a killed filed leaves here is a record of zeros, as a missing one is.
        if (status == 0 && fd < 0) fd = tree.Open(path, Libc.O_CREAT);
        if (status == 0 && fd < 0) status = Status(job, fd, "create");
        if (status == 0)
        {
            fixed (byte* fresh = job.Fresh) status = Status(job, Sys.WriteAll(fd, fresh, job.Fresh!.Length, 0), "write of a lock's record");
        }

        if (status == 0) status = Status(job, Sys.DataSync(fd), "fdatasync of a lock's record");
        // Each time: who made the file may have been killed before this.
        if (status == 0) status = Status(job, tree.SyncEntry(hash, path), "fsync of the directory");
        _swaps.Leave();
        if (fd >= 0) _ = Libc.close(fd);
        return status;
    }

    private static int ReadInto(FileJob job, int fd, byte[] into)
    {
        Array.Clear(into);
        if (fd == -XsegErrno.ENOENT) return 0;
        if (fd < 0) return Status(job, fd, "open of a lock's record");
        fixed (byte* bytes = into)
        {
            long got = Sys.ReadAll(fd, bytes, into.Length, 0);
            return got < 0 ? Status(job, got, "read of a lock's record") : 0;
        }
    }

    private int EnterSwap(FileJob job, Hash128 hash)
    {
        int result = _swaps.Enter(hash);
        if (result != -XsegErrno.EBUSY) return Status(job, result, $"lock of {SwapLock.FileName}");
        job.Detail = $"{SwapLock.FileName}: another process has been in the middle of a compare-and-swap for 10 s; is it stopped? End it";
        return XsegErrno.EIO;
    }
}
