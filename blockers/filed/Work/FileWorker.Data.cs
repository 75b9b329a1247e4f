using Archipelago.Filed.Native;
using Archipelago.Filed.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Filed.Work;

/// <summary>READ and WRITE: straight between files and the segment's pages.</summary>
internal sealed unsafe partial class FileWorker
{
    private int Read(FileJob job)
    {
        int fd = Open(job, job.Object!, create: false);
        if (fd == -XsegErrno.ENOENT)
        {
            job.Missing = true;
            if ((job.Request.Flags & RequestFlags.MustExist) != 0) return XsegErrno.EIO;
        }
        else if (fd < 0)
        {
            return Status(job, fd, "open");
        }

        if (fd >= 0 && direct && IsAligned(job.Request.Offset, job.Request.Length)) fd = OpenDirect(job.Object!);
        return Read(job, fd, flags: 0);
    }

    /// <summary>
    /// Reads into the issuer's pages or those that are to be lent; with RWF_NOWAIT as a flag, EAGAIN unless all of the range is
    /// at hand. A negative descriptor reads as zeros.
    /// </summary>
    internal int Read(FileJob job, int fd, int flags)
    {
        ulong offset = job.Request.Offset, length = job.Request.Length;
        if (!job.Request.TryData(out var data) || data.Count != Request.PagesFor(offset, length)) return NotTrusted(job);
        bool lends = job.PageCount != 0;
        // The slot may have changed since the pages were taken for it.
        if (lends && data.Count != job.PageCount) return NotTrusted(job);
        ulong done = 0;
        int inside = (int)(offset & 4095);
        while (fd >= 0 && done < length)
        {
            int count = 0;
            ulong wanted = 0;
            int first = (int)((done + (ulong)inside) >> 12);
            for (int i = first; i < data.Count && count < Libc.MaxVectors; i++)
            {
                byte* page = PageOf(job, data, i, lends);
                if (page == null) return NotTrusted(job);
                int skip = i == first ? (int)((done + (ulong)inside) & 4095) : 0;
                nuint part = (nuint)Math.Min((ulong)(4096 - skip), length - done - wanted);
                Append(ref count, page + skip, part);
                wanted += part;
            }

            nint got = Libc.preadv2(fd, _vectors, count, (long)(offset + done), flags);
            if (got < 0)
            {
                if (Sys.LastError == XsegErrno.EINTR) continue;
                return flags != 0 ? XsegErrno.EAGAIN : Status(job, -Sys.LastError, "read");
            }

            if (got == 0) break;
            done += (ulong)got;
        }

        if (done < length && flags != 0) return XsegErrno.EAGAIN;
        return Complete(job, data, lends, done);
    }

    /// <summary>Clears what lies behind the end of the file, and finds the pages that are all zeros.</summary>
    private int Complete(FileJob job, in RequestData data, bool lends, ulong done)
    {
        ulong length = job.Request.Length;
        int inside = (int)(job.Request.Offset & 4095);
        ulong at = 0;
        for (int i = 0; i < data.Count; i++)
        {
            int skip = i == 0 ? inside : 0;
            int part = (int)Math.Min((ulong)(4096 - skip), length - at);
            int filled = (int)Math.Clamp((long)(done - at), 0, part);
            if (done <= at) filled = 0;
            byte* page = PageOf(job, data, i, lends);
            if (page == null) return NotTrusted(job);
            if (lends) job.Zero[i] = !new ReadOnlySpan<byte>(page + skip, filled).ContainsAnyExcept((byte)0);
            if (filled < part && !(lends && job.Zero[i])) new Span<byte>(page + skip + filled, part - filled).Clear();
            at += (ulong)part;
        }

        job.Serviced = length;
        return 0;
    }

    private byte* PageOf(FileJob job, in RequestData data, int index, bool lends)
    {
        if (lends) return segment.PageBytes(job.Pages[index].Page);
        return data.Owned(index, out var extent) == null ? null : segment.PageBytes(extent.Page);
    }

    private int Write(FileJob job)
    {
        ulong offset = job.Request.Offset, length = job.Request.Length;
        if (!job.Request.TryData(out var data) || data.Count != Request.PagesFor(offset, length) || (length != 0 && !data.HasPages)) return NotTrusted(job);
        int fd = Open(job, job.Object!, create: true);
        if (fd < 0) return Status(job, fd, "create");
        bool stable = (job.Request.Flags & RequestFlags.ForceUnitAccess) != 0;
        job.DataChanged = true;

        int count = 0, index = 0;
        ulong at = offset, start = offset;
        while (index < data.Count)
        {
            int skip = (int)(at & 4095);
            ulong part = Math.Min((ulong)(4096 - skip), offset + length - at);
            byte* page = data.Readable(index);
            bool spent = page == null && data.Get(index).IsSpent;
            if (page == null && !spent) return NotTrusted(job);
            // A spent page was written by an earlier execution of this request: leave a gap.
            if (page != null) Append(ref count, page + skip, (nuint)part);
            at += part;
            index++;
            if (count != Libc.MaxVectors && index != data.Count && !spent) continue;
            int status = WriteRun(job, fd, count, start, (spent ? at - part : at) - start, stable);
            if (status != 0) return status;
            (count, start) = (0, at);
        }

        job.IsStable = stable;
        job.Serviced = length;
        return 0;
    }

    private int WriteRun(FileJob job, int fd, int count, ulong offset, ulong length, bool stable)
    {
        if (length == 0) return 0;
        if (direct && IsAligned(offset, length)) fd = OpenDirect(job.Object!);
        var vectors = _vectors;
        while (true)
        {
            nint put = stable ? WriteStable(job.Object!, fd, vectors, count, (long)offset) : Libc.pwritev2(fd, vectors, count, (long)offset, 0);
            if (put < 0 && Sys.LastError == XsegErrno.EINTR) continue;
            if (put < 0) return Status(job, -Sys.LastError, "write");
            // Never taken for success: the rest is written, or says why not.
            if (put == 0) return Status(job, -XsegErrno.EIO, "write");
            offset += (ulong)put;
            length -= (ulong)put;
            if (length == 0) return 0;
            nuint left = (nuint)put;
            for (; left >= vectors->Length; vectors++, count--) left -= vectors->Length;
            vectors->Base += left;
            vectors->Length -= left;
        }
    }

    private static nint WriteStable(Storage.StoredObject target, int fd, Libc.IoVector* vectors, int count, long offset)
    {
        lock (target.SyncGate)
        {
            nint put = Libc.pwritev2(fd, vectors, count, offset, Libc.RWF_DSYNC);
            // What failed may be the sync, of this or of what was written before.
            if (put < 0 && Sys.LastError != XsegErrno.EINTR) target.SyncFailures++;
            return put;
        }
    }

    /// <summary>Pages that lie side by side become one vector.</summary>
    private void Append(ref int count, byte* at, nuint length)
    {
        if (count > 0 && _vectors[count - 1].Base + _vectors[count - 1].Length == at)
        {
            _vectors[count - 1].Length += length;
            return;
        }

        _vectors[count++] = new Libc.IoVector { Base = at, Length = length };
    }

    private static bool IsAligned(ulong offset, ulong length) => ((offset | length) & 4095) == 0;

    private static int NotTrusted(FileJob job)
    {
        job.NotTrusted = true;
        return XsegErrno.EBADMSG;
    }
}
