using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Native;

namespace Archipelago.Xseg.Memory;

/// <summary>Creation, joining and destruction.</summary>
public sealed unsafe partial class Segment
{
    /// <summary>
    /// Creates a segment in <paramref name="directory"/> (made with mode 0700 if missing). All memory is allocated before the
    /// header says Ready, so that no peer meets SIGBUS later.
    /// </summary>
    /// <exception cref="XsegException">EEXIST if a segment is there, ENOSPC if its memory cannot be had, EINVAL for bad sizes.</exception>
    public static Segment Create(string directory, SegmentOptions options)
    {
        var header = options.ToHeader();
        Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var locks = SegmentLocks.Open(directory);
        try
        {
            using var maintenance = locks.Maintain();
            string path = Path.Combine(directory, FileName);
            if (File.Exists(path) && !IsUnfinished(path, locks))
                throw new XsegException(XsegErrno.EEXIST, $"{path}: a segment exists; join it, or destroy it first");
            File.Delete(path);
            return Build(directory, path, header, options.Prefault, locks);
        }
        catch
        {
            locks.Dispose();
            throw;
        }
    }

    /// <summary>Joins the segment in <paramref name="directory"/>. Several joins in one process are as several processes.</summary>
    /// <exception cref="XsegException">
    /// ENOENT if there is none, EPROTO if the file is no segment of a layout that this build knows (nothing is changed),
    /// EAGAIN while it is being created or destroyed, EUCLEAN where its state or its lock file is damaged (<see cref="TryMendState"/>).
    /// </exception>
    public static Segment Join(string directory) => Join(directory, alsoDamaged: false);

    private static Segment Join(string directory, bool alsoDamaged)
    {
        string path = Path.Combine(directory, FileName);
        if (!File.Exists(path))
            throw new XsegException(XsegErrno.ENOENT, $"{path}: no segment here; `archipelago up` creates one");
        var locks = SegmentLocks.Open(directory);
        try
        {
            byte* address = MapExisting(path, locks, alsoDamaged, maintained: false, out var header);
            return new Segment(directory, address, header, locks);
        }
        catch
        {
            locks.Dispose();
            throw;
        }
    }

    private static byte* MapExisting(string path, SegmentLocks locks, bool alsoDamaged, bool maintained, out SegmentHeader header)
    {
        int fd = Libc.open(path, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (fd < 0) throw Failure(path, "cannot be opened");
        try
        {
            header = ReadHeader(path, fd);
            if (header.State != (uint)SegmentState.Ready)
            {
                if (!WasUsed(fd, header, locks))
                    throw new XsegException(XsegErrno.EAGAIN, $"{path}: the segment is being created or destroyed (state {header.State}); try again, or destroy it");
                if (!maintained)
                {
                    // Not while somebody creates or destroys it.
                    using var maintenance = locks.Maintain();
                    return MapExisting(path, locks, alsoDamaged, maintained: true, out header);
                }

                if (!alsoDamaged)
                    throw new XsegException(XsegErrno.EUCLEAN, $"{path}: the segment's state is damaged ({header.State}), but it was used; `archipelago up` takes it over, `archipelago segment fsck --repair` mends it");
            }

            if (!alsoDamaged) CheckLocks(path, fd, header, locks);
            return Map(path, fd, header);
        }
        finally
        {
            _ = Libc.close(fd);
        }
    }

    /// <summary>True if <paramref name="directory"/> holds a segment file, of whatever state.</summary>
    public static bool Exists(string directory) => File.Exists(Path.Combine(directory, FileName));

    /// <summary>
    /// Removes a segment and everything in it. Refused with EBUSY while a peer lives. The caller has made sure that no dirty
    /// page is lost (see <see cref="DirtyPages"/>).
    /// </summary>
    public static void Destroy(string directory)
    {
        string path = Path.Combine(directory, FileName);
        if (!File.Exists(path)) throw new XsegException(XsegErrno.ENOENT, $"{path}: no segment here");
        using var locks = SegmentLocks.Open(directory);
        using var maintenance = locks.Maintain();
        for (int port = 0; port < 64; port++)
            if (locks.IsHeldElsewhere(port))
                throw new XsegException(XsegErrno.EBUSY, $"{directory}: port {port} is in use; stop its peer first (`archipelago down`)");
        MarkDestroyed(path, locks);
        File.Delete(path);
        // After the segment: its pages are never without their record.
        File.Delete(Path.Combine(directory, StoreRecord.FileName));
        string wake = Path.Combine(directory, WakeDirectory);
        if (Directory.Exists(wake)) Directory.Delete(wake, recursive: true);
        // The lock file stays: whoever waits for its maintenance byte now is about to create the next segment under it, and a second
        // file of that name would make the living look dead.
    }

    /// <summary>Whoever has joined but bound nothing yet must not bind any more.</summary>
    /// <exception cref="XsegException">EBUSY: it has other locks than these, and a process of it lives.</exception>
    private static void MarkDestroyed(string path, SegmentLocks locks)
    {
        int fd = Libc.open(path, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (fd < 0) return;
        using var file = new FileStream(new Microsoft.Win32.SafeHandles.SafeFileHandle(fd, ownsHandle: true), FileAccess.ReadWrite, bufferSize: 0);
        SegmentHeader header;
        var bytes = new Span<byte>(&header, sizeof(SegmentHeader));
        if (file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false) < bytes.Length || header.Magic != SegmentHeader.MagicValue || header.LayoutVersion != SegmentHeader.CurrentLayout) return;
        if (header.Checksum == HeaderChecksum(header) && header.LocksInode != 0 && header.LocksInode != locks.Inode && LivingProcess(fd, header) is { } process)
            throw new XsegException(XsegErrno.EBUSY, $"{path}: its file 'locks' was removed or replaced, but process {process} lives and uses the segment; stop that one first");
        file.Position = Marshal.OffsetOf<SegmentHeader>(nameof(SegmentHeader.State));
        file.Write(BitConverter.GetBytes((uint)SegmentState.Destroyed));
    }

    /// <summary>Pages whose data the blocker does not have: what a destroyed segment would lose.</summary>
    public long DirtyPages()
    {
        long dirty = 0;
        for (uint page = 1; page < PageCount; page++)
        {
            var entry = PageAt(page);
            if (new PageWord(Volatile.Read(ref entry->Word)).State == PageState.Cache && entry->IsUnstable) dirty++;
        }

        return dirty;
    }

    private static Segment Build(string directory, string path, SegmentHeader header, bool prefault, SegmentLocks locks)
    {
        int fd = Libc.open(path, Libc.O_RDWR | Libc.O_CREAT | Libc.O_EXCL | Libc.O_CLOEXEC, 0x180 /* 0600 */);
        if (fd < 0) throw Failure(path, "cannot be created");
        byte* address = null;
        try
        {
            int error = Libc.posix_fallocate(fd, 0, (long)header.TotalSize);
            if (error != 0)
                throw new XsegException(error, $"{path}: {header.TotalSize >> 20} MiB cannot be allocated: {Marshal.GetPInvokeErrorMessage(error)}; make it smaller ([segment] pages) or free memory");
            Span<ulong> id = [header.CreationIdLow, header.CreationIdHigh];
            if ((id[0] | id[1]) == 0) RandomNumberGenerator.Fill(MemoryMarshal.AsBytes(id));
            (header.CreationIdLow, header.CreationIdHigh) = (id[0], id[1]);
            header.Checksum = HeaderChecksum(header);
            header.PagesCommitted = header.PageCountMax;
            header.Epoch = 1;
            header.LocksInode = locks.Inode;

            address = Map(path, fd, header);
            if (prefault) _ = Libc.madvise(address, (nuint)header.TotalSize, Libc.MADV_POPULATE_WRITE);
            // The magic last: before it the file is blank or unfinished, never damaged.
            ulong magic = header.Magic;
            header.Magic = 0;
            Shared.Copy(new ReadOnlySpan<byte>(&header, sizeof(SegmentHeader)), address);
            Shared.Store(ref ((SegmentHeader*)address)->Magic, magic);
            header.Magic = magic;
            var table = (PageEntry*)(address + header.PageTableOffset);
            table[0].Word = new PageWord(PageState.Reserved, 0, 0).Value;
            for (uint page = 1; page < header.PageCountMax; page++) table[page].Word = new PageWord(PageState.Common, 0, 1).Value;
            Directory.CreateDirectory(Path.Combine(directory, WakeDirectory), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            for (uint port = 0; port < header.PortCount; port++) MakeFifo(directory, (int)port);
            Shared.Store(ref ((SegmentHeader*)address)->State, (uint)SegmentState.Ready);
            return new Segment(directory, address, header, locks);
        }
        catch (Exception failure)
        {
            if (address != null) _ = Libc.munmap(address, (nuint)header.TotalSize);
            if (failure is not CrashException) File.Delete(path);
            throw;
        }
        finally
        {
            _ = Libc.close(fd);
        }
    }

    /// <summary>The FIFO that wakes a port.</summary>
    public static string FifoPath(string directory, int port) => Path.Combine(directory, WakeDirectory, port.ToString(System.Globalization.CultureInfo.InvariantCulture));

    private static void MakeFifo(string directory, int port)
    {
        string path = FifoPath(directory, port);
        if (Libc.mkfifo(path, 0x180 /* 0600 */) != 0 && Marshal.GetLastPInvokeError() != Libc.EEXIST) throw Failure(path, "cannot be created");
    }

    private static byte* Map(string path, int fd, in SegmentHeader header)
    {
        void* address = Libc.mmap(null, (nuint)header.TotalSize, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_SHARED | Libc.MAP_NORESERVE, fd, 0);
        if ((nint)address == -1) throw Failure(path, $"{header.TotalSize >> 20} MiB cannot be mapped");
        // Neither can fail in a way that matters: without huge pages it is slower, with core dumps it is larger.
        _ = Libc.madvise((byte*)address + header.PagesOffset, (nuint)(header.TotalSize - header.PagesOffset), Libc.MADV_HUGEPAGE);
        _ = Libc.madvise(address, (nuint)header.TotalSize, Libc.MADV_DONTDUMP);
        return (byte*)address;
    }

    private static bool IsUnfinished(string path, SegmentLocks locks)
    {
        int fd = Libc.open(path, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (fd < 0) throw Failure(path, "cannot be opened");
        try
        {
            var header = ReadHeader(path, fd);
            return header.State != (uint)SegmentState.Ready && !WasUsed(fd, header, locks);
        }
        catch (XsegException wrong)
        {
            return wrong.Errno == XsegErrno.EAGAIN;
        }
        finally
        {
            _ = Libc.close(fd);
        }
    }

    private static SegmentHeader ReadHeader(string path, int fd)
    {
        SegmentHeader header;
        using var handle = new Microsoft.Win32.SafeHandles.SafeFileHandle(fd, ownsHandle: false);
        var bytes = new Span<byte>(&header, sizeof(SegmentHeader));
        bytes.Clear();
        int read = RandomAccess.Read(handle, bytes, 0);
        // After the header: a creator allocates the whole file before it writes one.
        long fileLength = RandomAccess.GetLength(handle);
        // A creator stores the magic only when all but the page table is in place; what it left before that is zeros, or a layout
        // without its magic; and nothing behind the header.
        if (header.Magic == 0 && (read < bytes.Length ? !bytes.ContainsAnyExcept((byte)0) : IsBlankOrUnfinished(header) && !IsUsedBehind(fd, header)))
            throw new XsegException(XsegErrno.EAGAIN, $"{path}: the segment is being created; try again, or destroy it if its creator died");
        if (read < bytes.Length)
            throw new XsegException(XsegErrno.EPROTO, $"{path}: {fileLength} bytes are too short for a segment");
        if (header.Magic != SegmentHeader.MagicValue)
            throw new XsegException(XsegErrno.EPROTO, $"{path}: not a segment: magic 0x{header.Magic:x16}, expected 0x{SegmentHeader.MagicValue:x16}");
        if (header.LayoutVersion != SegmentHeader.CurrentLayout)
            throw new XsegException(XsegErrno.EPROTO, $"{path}: layout {header.LayoutVersion}; this build knows {SegmentHeader.CurrentLayout} only and changes nothing");
        if (header.Checksum != HeaderChecksum(header))
            throw new XsegException(XsegErrno.EPROTO, $"{path}: the header's checksum is wrong; the file is damaged");
        if ((ulong)fileLength < header.TotalSize)
            throw new XsegException(XsegErrno.EPROTO, $"{path}: truncated: {fileLength} bytes, the header says {header.TotalSize}");
        CheckGeometry(path, header);
        return header;
    }

    private static bool IsBlankOrUnfinished(SegmentHeader header)
    {
        if (!new Span<byte>(&header, sizeof(SegmentHeader)).ContainsAnyExcept((byte)0)) return true;
        header.Magic = SegmentHeader.MagicValue;
        return header.State == (uint)SegmentState.Creating && header.LayoutVersion == SegmentHeader.CurrentLayout && header.Checksum == HeaderChecksum(header);
    }

    private static void CheckGeometry(string path, in SegmentHeader header)
    {
        SegmentHeader expected;
        try
        {
            expected = new SegmentOptions
            {
                Ports = (int)header.PortCount,
                SlotsPerPort = (int)header.SlotsPerPort,
                Routes = (int)header.RouteCount,
                Flows = (int)header.FlowCount,
                Objects = (int)header.ObjectCount,
                Sessions = (int)header.SessionCount,
                Pages = header.PageCountMax,
            }.ToHeader();
        }
        catch (XsegException wrong)
        {
            throw new XsegException(XsegErrno.EPROTO, $"{path}: impossible sizes in the header: {wrong.Message}");
        }

        (expected.CreationIdLow, expected.CreationIdHigh) = (header.CreationIdLow, header.CreationIdHigh);
        if (HeaderChecksum(expected) != HeaderChecksum(header))
            throw new XsegException(XsegErrno.EPROTO, $"{path}: the header's offsets do not follow from its sizes; the file is damaged");
    }

    private static XsegException Failure(string path, string what)
    {
        int error = Marshal.GetLastPInvokeError();
        return new XsegException(error, $"{path}: {what}: {Marshal.GetPInvokeErrorMessage(error)}");
    }
}
