using System.Runtime.InteropServices;
using Archipelago.Filed.Native;
using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Storage;
using Archipelago.Runtime.Hosting;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Filed.Work;

/// <summary>
/// The blocking half of filed: what an I/O thread does for a job. It touches the job, the job's objects' descriptors, files and
/// pages, and nothing of the reactor. One instance per thread.
/// </summary>
internal sealed unsafe partial class FileWorker(Segment segment, ObjectTree tree, IClock clock, bool direct, bool shared)
{
    /// <summary>Most bytes in an object.</summary>
    internal const ulong MaxObject = Xseg.Layout.RequestSlot.MaxData;
    /// <summary>Flags of a change that is stable when it is answered.</summary>
    internal const RequestFlags Forcing = RequestFlags.ForceUnitAccess | RequestFlags.Compare;
    private const int BufferSize = 256 << 10;

    // For the life of the thread, and so of the process or the test: never freed.
    private readonly Libc.IoVector* _vectors = (Libc.IoVector*)NativeMemory.Alloc(Libc.MaxVectors, (nuint)sizeof(Libc.IoVector));
    private byte* _buffer;

    /// <summary>Does the job; its results are set when this returns.</summary>
    internal void Run(FileJob job)
    {
        if (job.NotAfter != 0 && clock.BoottimeNanoseconds >= job.NotAfter)
        {
            job.Status = FileJob.TooLate;
            return;
        }

        job.Status = job.Kind switch
        {
            JobKind.SyncObject => SyncObject(job),
            JobKind.List => List(job),
            JobKind.ReadRecord => ReadRecord(job),
            JobKind.SwapRecord => SwapRecord(job),
            JobKind.SyncAll => Status(job, Sys.SyncFileSystem(tree.Root), "syncfs"),
            _ => job.Request.Op switch
            {
                XsegOp.Read => Read(job),
                XsegOp.Write => Finish(job, (job.Request.Flags & RequestFlags.Compare) == 0 ? Write(job) : Swap(job)),
                XsegOp.Discard => Finish(job, Discard(job)),
                XsegOp.WriteZeroes => Finish(job, WriteZeroes(job)),
                XsegOp.Truncate => Finish(job, Truncate(job)),
                XsegOp.Delete => Finish(job, Delete(job)),
                XsegOp.Copy => Finish(job, Copy(job)),
                XsegOp.Info => Info(job),
                XsegOp.Hash => Hash(job),
                _ => XsegErrno.ENOTSUP,
            },
        };
    }

    /// <summary>The descriptor for buffered I/O, opened if need be; −ENOENT if there is no such object and none is to be made.</summary>
    private int Open(FileJob job, StoredObject target, bool create)
    {
        int fd = target.Fd;
        if (fd >= 0 && IsCurrent(fd)) return fd;
        lock (target.Gate)
        {
            int old = target.Fd;
            if (old >= 0 && IsCurrent(old)) return old;
            fd = tree.Open(target.Path, 0);
            if (fd == -XsegErrno.ENOENT && create)
            {
                fd = tree.Open(target.Path, Libc.O_CREAT);
                if (fd >= 0) ChangedEntry(job, target);
            }

            if (fd >= 0 && old >= 0)
            {
                fd = Sys.Replace(fd, old);
                // Another's entry: a FUA or a FLUSH of ours makes it stable, too.
                ChangedEntry(job, target);
            }

            if (fd >= 0) target.Fd = fd;
            return fd;
        }
    }

    /// <summary>The descriptor for direct I/O of an object that is open; falls back to the buffered one.</summary>
    private int OpenDirect(StoredObject target)
    {
        int fd = target.DirectFd;
        if (fd >= 0 && IsCurrent(fd)) return fd;
        lock (target.Gate)
        {
            int old = target.DirectFd;
            if (old >= 0 && IsCurrent(old)) return old;
            fd = Sys.Open(tree.Root, target.Path, Libc.O_RDWR | Libc.O_DIRECT);
            if (fd < 0) return target.Fd;
            target.DirectFd = old >= 0 ? Sys.Replace(fd, old) : fd;
            return target.DirectFd;
        }
    }

    /// <summary>
    /// Whether the open file still is the object's: another filed may have deleted or replaced it, and then it has no name left. Threads that are
    /// reading from the old one end with it; its number goes on to the new one (<see cref="Sys.Replace"/>).
    /// </summary>
    private bool IsCurrent(int fd) => !shared || Sys.HasName(fd);

    /// <summary>Ends a change: with FUA it becomes stable first.</summary>
    private int Finish(FileJob job, int status)
    {
        if (status != 0 || (job.Request.Flags & Forcing) == 0) return status;
        // A replay may find everything done by its dead predecessor, but not synced.
        var target = job.Object!;
        int fd = target.Fd;
        if (!job.IsStable && fd >= 0) status = Status(job, DataSync(target, fd), "fdatasync");
        if (status == 0) status = SyncEntry(job, target);
        job.IsStable = status == 0;
        return status;
    }

    private int SyncEntry(FileJob job, Storage.StoredObject target)
    {
        int seen = Volatile.Read(ref target.EntryChanges);
        if (target.EntryStableAt == seen) return 0;
        int status = Status(job, tree.SyncEntry(target.Hash, target.Path), "fsync of the directory");
        // A file that was made meanwhile, beside us, is not covered.
        if (status == 0) target.EntryStableAt = seen;
        return status;
    }

    private static void ChangedEntry(FileJob job, Storage.StoredObject target)
    {
        job.EntryChanged = true;
        Interlocked.Increment(ref target.EntryChanges);
    }

    private static int DataSync(Storage.StoredObject target, int fd)
    {
        lock (target.SyncGate)
        {
            int result = Sys.DataSync(fd);
            if (result < 0) target.SyncFailures++;
            return result;
        }
    }

    private int SyncObject(FileJob job)
    {
        var target = job.Object!;
        int fd = target.Fd;
        int status = 0;
        if (job.DataChanged && fd >= 0) status = Status(job, DataSync(target, fd), "fdatasync");
        if (job.EntryChanged && status == 0) status = SyncEntry(job, target);
        return status;
    }

    private static int Status(FileJob job, long result, string what)
    {
        int status = Sys.StatusOf(result);
        if (status != 0) job.Detail = $"{what}: {Sys.Describe((int)-result)}";
        return status;
    }

    private byte* Buffer()
    {
        if (_buffer == null) _buffer = (byte*)NativeMemory.AlignedAlloc(BufferSize, 4096);
        return _buffer;
    }
}
