using System.Security.Cryptography;
using Archipelago.Filed.Native;
using Archipelago.Filed.Scheduling;
using Archipelago.Xseg;

namespace Archipelago.Filed.Work;

/// <summary>The ops on whole objects and on ranges without data.</summary>
internal sealed unsafe partial class FileWorker
{
    private int Discard(FileJob job)
    {
        job.Serviced = job.Request.Length;
        int fd = Open(job, job.Object!, create: false);
        if (fd == -XsegErrno.ENOENT) return Absent(job);
        return fd < 0 ? Status(job, fd, "open") : Punch(job, fd, job.Request.Offset, job.Request.Length);
    }

    private int WriteZeroes(FileJob job)
    {
        ulong offset = job.Request.Offset, length = job.Request.Length;
        job.Serviced = length;
        int fd = Open(job, job.Object!, create: false);
        if (fd == -XsegErrno.ENOENT) return Absent(job);
        if (length == 0) return 0;
        if (fd < 0) return Status(job, fd, "open");
        job.DataChanged = true;
        int result = Sys.Allocate(fd, Libc.FALLOC_FL_ZERO_RANGE, (long)offset, (long)length);
        if (result != -Sys.EOPNOTSUPP) return Status(job, result, "zero range");
        int status = Punch(job, fd, offset, length);
        if (status != 0) return status;
        long size = Sys.SizeOf(fd);
        if (size < 0) return Status(job, size, "size");
        return size >= (long)(offset + length) ? 0 : Status(job, Sys.Truncate(fd, (long)(offset + length)), "extend");
    }

    /// <summary>What does not exist is zeros. Whoever deleted it may not have made that stable: FUA must, or the old data comes back with the power.</summary>
    private static int Absent(FileJob job)
    {
        if ((job.Request.Flags & RequestFlags.ForceUnitAccess) != 0) ChangedEntry(job, job.Object!);
        return 0;
    }

    /// <summary>The range reads as zeros; the size stays.</summary>
    private int Punch(FileJob job, int fd, ulong offset, ulong length)
    {
        if (length == 0) return 0;
        job.DataChanged = true;
        int result = Sys.Allocate(fd, Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, (long)offset, (long)length);
        if (result != -Sys.EOPNOTSUPP) return Status(job, result, "punch hole");
        long size = Sys.SizeOf(fd);
        if (size < 0) return Status(job, size, "size");
        new Span<byte>(Buffer(), BufferSize).Clear();
        for (long at = (long)offset, end = Math.Min((long)(offset + length), size); at < end;)
        {
            long part = Math.Min(BufferSize, end - at);
            int status = Status(job, Sys.WriteAll(fd, Buffer(), part, at), "write of zeros");
            if (status != 0) return status;
            at += part;
        }

        return 0;
    }

    private int Truncate(FileJob job)
    {
        int fd = Open(job, job.Object!, create: true);
        if (fd < 0) return Status(job, fd, "create");
        job.DataChanged = true;
        job.Serviced = job.Request.Length;
        return Status(job, Sys.Truncate(fd, (long)job.Request.Length), "truncate");
    }

    private int Delete(FileJob job)
    {
        var target = job.Object!;
        int result = Sys.Unlink(tree.Root, target.Path);
        if (result < 0 && result != -XsegErrno.ENOENT && result != -Sys.ENOTDIR) return Status(job, result, "unlink");
        job.Serviced = result == 0 ? 1u : 0u;
        // Gone already: perhaps by a predecessor that died before the directory was stable. The first FLUSH covers that; FUA must, too.
        if (result == 0 || (job.Request.Flags & RequestFlags.ForceUnitAccess) != 0) ChangedEntry(job, target);
        CloseFiles(target);
        return 0;
    }

    private int Info(FileJob job)
    {
        int fd = Open(job, job.Object!, create: false);
        if (fd < 0) return fd == -XsegErrno.ENOENT ? XsegErrno.ENOENT : Status(job, fd, "open");
        long size = Sys.SizeOf(fd);
        if (size < 0) return Status(job, size, "size");
        job.Serviced = (ulong)size;
        return 0;
    }

    private int Hash(FileJob job)
    {
        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        int fd = Open(job, job.Object!, create: false);
        if (fd == -XsegErrno.ENOENT && (job.Request.Flags & RequestFlags.MustExist) != 0) return XsegErrno.ENOENT;
        if (fd < 0 && fd != -XsegErrno.ENOENT) return Status(job, fd, "open");
        long zeros = 0;
        for (long at = 0; fd >= 0; at += BufferSize)
        {
            long got = Sys.ReadAll(fd, Buffer(), BufferSize, at);
            if (got < 0) return Status(job, got, "read");
            var bytes = new ReadOnlySpan<byte>(Buffer(), (int)got);
            int used = bytes.LastIndexOfAnyExcept((byte)0) + 1;
            if (used > 0)
            {
                // Zeros count only in front of something else.
                for (; zeros > 0; zeros -= s_zeros.Length) sha.AppendData(s_zeros, 0, (int)Math.Min(zeros, s_zeros.Length));
                zeros = 0;
                sha.AppendData(bytes[..used]);
            }

            zeros += got - used;
            if (got < BufferSize) break;
        }

        sha.GetHashAndReset(job.Request.Result[..32]);
        job.Serviced = 32;
        return 0;
    }

    private static readonly byte[] s_zeros = new byte[64 << 10];

    /// <summary>Only where the job has the object alone.</summary>
    private static void CloseFiles(Storage.StoredObject target)
    {
        if (target.Fd >= 0) _ = Libc.close(target.Fd);
        if (target.DirectFd >= 0) _ = Libc.close(target.DirectFd);
        (target.Fd, target.DirectFd) = (-1, -1);
    }
}
