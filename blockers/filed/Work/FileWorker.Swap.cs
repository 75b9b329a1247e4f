using Archipelago.Filed.Native;
using Archipelago.Filed.Scheduling;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;

namespace Archipelago.Filed.Work;

/// <summary>WRITE with COMPARE, while the job holds the range: read, compared, written and made stable.</summary>
internal sealed unsafe partial class FileWorker
{
    private int Swap(FileJob job)
    {
        int status = SwapData.TryRead(job.Request, MaxObject, out var swap);
        if (status != 0) return status == XsegErrno.EBADMSG ? NotTrusted(job) : status;
        // The job's place keeps this filed's other requests out, this every other filed's swaps.
        status = EnterSwap(job, job.Object!.Hash);
        if (status != 0) return status;
        status = Swap(job, swap);
        _swaps.Leave();
        return status;
    }

    private int Swap(FileJob job, in SwapData swap)
    {
        // A slot that changed its mind: only the range that is held may be touched.
        if (!job.Target.Covers(swap.Offset, (ulong)swap.Size)) return NotTrusted(job);
        int fd = Open(job, job.Object!, create: false);
        if (fd < 0 && fd != -XsegErrno.ENOENT) return Status(job, fd, "open");
        long got = fd < 0 ? 0 : Sys.ReadAll(fd, Buffer(), swap.Size, (long)swap.Offset);
        if (got < 0) return Status(job, got, "read");
        var current = new Span<byte>(Buffer(), swap.Size);
        current[(int)got..].Clear();
        if (!current.SequenceEqual(swap.Expected) && !(job.Request.Attempts > 0 && IsOurs(current, swap))) return XsegErrno.EILSEQ;

        fd = Open(job, job.Object!, create: true);
        if (fd < 0) return Status(job, fd, "create");
        job.DataChanged = true;
        swap.Fresh.CopyTo(current);
        _vectors[0] = new Libc.IoVector { Base = Buffer(), Length = (nuint)swap.Size };
        int status = WriteRun(job, fd, 1, swap.Offset, (ulong)swap.Size, stable: true);
        if (status != 0) return status;
        job.IsStable = true;
        job.Serviced = job.Request.Length;
        return 0;
    }

    /// <summary>
    /// Whether an earlier execution has left this: all of the new bytes, or, where its process was killed in the middle of the write, the new
    /// ones up to a place and from there on what was expected.
    /// </summary>
    private static bool IsOurs(ReadOnlySpan<byte> current, in SwapData swap)
    {
        int written = current.CommonPrefixLength(swap.Fresh);
        return current[written..].SequenceEqual(swap.Expected[written..]);
    }
}
