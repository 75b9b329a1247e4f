using System.Globalization;
using System.Runtime.InteropServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Native;

namespace Archipelago.Xseg.Memory;

/// <summary>
/// Damage of what decides whether a file may be replaced: the header's state, and which file has the locks. A segment that was ever used
/// may hold what a guest was told is safe: it is never taken for an unfinished one.
/// </summary>
public sealed unsafe partial class Segment
{
    /// <summary>As <see cref="Join(string)"/>, also where the header's state or the lock file's number is damaged: to look, and to repair.</summary>
    public static Segment JoinDamaged(string directory) => Join(directory, alsoDamaged: true);

    /// <summary>
    /// Makes a segment Ready whose state was damaged, which its tables tell: it was used, and nobody is destroying it. False if there is
    /// nothing to mend. Whether peers live does not matter: they could bind only because it was Ready.
    /// </summary>
    /// <exception cref="XsegException">The file is no segment, or its locks are not those that it was made with.</exception>
    public static bool TryMendState(string directory, out uint found)
    {
        string path = Path.Combine(directory, FileName);
        using var locks = SegmentLocks.Open(directory);
        using var maintenance = locks.Maintain();
        int fd = Libc.open(path, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (fd < 0) throw Failure(path, "cannot be opened");
        using var file = new Microsoft.Win32.SafeHandles.SafeFileHandle(fd, ownsHandle: true);
        var header = ReadHeader(path, fd);
        found = header.State;
        if (header.State == (uint)SegmentState.Ready || !WasUsed(fd, header, locks)) return false;
        CheckLocks(path, fd, header, locks);
        RandomAccess.Write(file, BitConverter.GetBytes((uint)SegmentState.Ready), Marshal.OffsetOf<SegmentHeader>(nameof(SegmentHeader.State)));
        return true;
    }

    /// <summary>
    /// True if there is more in a segment that is not Ready than its creator puts there. Creator and destroyer hold the maintenance lock:
    /// only under it the answer is sure.
    /// </summary>
    private static bool WasUsed(int fd, in SegmentHeader header, SegmentLocks locks)
    {
        for (int port = 0; port < header.PortCount; port++)
            if (locks.IsHeldElsewhere(port)) return true;
        if (header.State == (uint)SegmentState.Destroyed) return AnyPage(fd, header, IsDirty);
        return HasBytes(fd, (long)header.PortsOffset, header.PortCount * PortEntry.Size) || AnyPage(fd, header, static (in PageEntry entry) => !IsAsMade(entry));
    }

    /// <summary>True if a header without magic is followed by what only a finished creation is followed by: ports, and the tables behind them.</summary>
    private static bool IsUsedBehind(int fd, SegmentHeader header)
    {
        const int Enough = 64 << 10;
        if (!HasBytes(fd, sizeof(SegmentHeader), Enough)) return false;
        // Not if the creator went on while we looked.
        SegmentHeader now;
        using var file = new Microsoft.Win32.SafeHandles.SafeFileHandle(fd, ownsHandle: false);
        _ = RandomAccess.Read(file, new Span<byte>(&now, sizeof(SegmentHeader)), 0);
        return new Span<byte>(&now, sizeof(SegmentHeader)).SequenceEqual(new Span<byte>(&header, sizeof(SegmentHeader)));
    }

    private delegate bool PageTest(in PageEntry entry);

    private static bool AnyPage(int fd, in SegmentHeader header, PageTest test)
    {
        var entries = new PageEntry[16384];
        using var file = new Microsoft.Win32.SafeHandles.SafeFileHandle(fd, ownsHandle: false);
        for (long page = 0; page < header.PageCountMax; page += entries.Length)
        {
            var part = MemoryMarshal.AsBytes(entries.AsSpan(0, (int)Math.Min(entries.Length, header.PageCountMax - page)));
            part = part[..RandomAccess.Read(file, part, (long)header.PageTableOffset + page * PageEntry.Size)];
            foreach (ref readonly var entry in MemoryMarshal.Cast<byte, PageEntry>(part))
                if (test(entry)) return true;
        }

        return false;
    }

    private static bool IsDirty(in PageEntry entry) => new PageWord(entry.Word).State == PageState.Cache && entry.IsUnstable;

    private static bool IsAsMade(in PageEntry entry)
    {
        var word = new PageWord(entry.Word);
        return (word.Value == 0 || word == new PageWord(PageState.Common, 0, 1) || word == new PageWord(PageState.Reserved, 0, 0))
            && (entry.Sequence | entry.Object | entry.Bucket | entry.Flow | entry.Masks | entry.Checksum) == 0;
    }

    private static bool HasBytes(int fd, long offset, long length)
    {
        byte[] bytes = new byte[length];
        using var file = new Microsoft.Win32.SafeHandles.SafeFileHandle(fd, ownsHandle: false);
        int read = RandomAccess.Read(file, bytes, offset);
        return bytes.AsSpan(0, read).ContainsAnyExcept((byte)0);
    }

    /// <summary>
    /// Refuses where <c>locks</c> is not the file that the segment was made with: under another one the living look dead. A number of 0
    /// was not recorded.
    /// </summary>
    private static void CheckLocks(string path, int fd, in SegmentHeader header, SegmentLocks locks)
    {
        if (header.LocksInode == 0 || header.LocksInode == locks.Inode) return;
        string what = $"{path}: its file 'locks' was removed or replaced (inode {locks.Inode}, it was {header.LocksInode}), so that living peers look dead";
        if (LivingProcess(fd, header) is { } process)
            throw new XsegException(XsegErrno.EBUSY, $"{what}; process {process} lives and is one of them. Stop it (kill {process}), then `archipelago segment fsck --repair --segment {Path.GetDirectoryName(path)}`");
        throw new XsegException(XsegErrno.EUCLEAN, $"{what}. None of the processes that the port table names lives; if there are no others: `archipelago segment fsck --repair --segment {Path.GetDirectoryName(path)}`");
    }

    /// <summary>A process that a bound port names and that lives. For the case only that the locks cannot be asked.</summary>
    private static int? LivingProcess(int fd, in SegmentHeader header)
    {
        var ports = new PortEntry[header.PortCount];
        using var file = new Microsoft.Win32.SafeHandles.SafeFileHandle(fd, ownsHandle: false);
        _ = RandomAccess.Read(file, MemoryMarshal.AsBytes(ports.AsSpan()), (long)header.PortsOffset);
        return LivingProcess(ports);
    }

    private static int? LivingProcess(ReadOnlySpan<PortEntry> ports)
    {
        foreach (ref readonly var port in ports)
            if (port.State == (uint)PortState.Bound && IsProcess(port.ProcessId, port.BoundAt)) return port.ProcessId;
        return null;
    }

    /// <summary>True if the process lives and began before it bound the port: a later one of the same number is another.</summary>
    private static bool IsProcess(int id, ulong boundAt)
    {
        if (id <= 0) return false;
        try
        {
            string stat = File.ReadAllText($"/proc/{id}/stat");
            // Behind the name, which may contain anything: the state, and as the 20th the start in hundredths of a second since boot.
            string[] fields = stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (fields[0] is "Z" or "X") return false;
            return ulong.Parse(fields[19], CultureInfo.InvariantCulture) * 10_000_000 <= boundAt;
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException or FormatException or IndexOutOfRangeException)
        {
            return false;
        }
    }

    /// <summary>
    /// Pages whose words make no sense: what they held, and whether it was dirty, nobody can tell. A word that was never written counts,
    /// for generations begin with 1.
    /// </summary>
    public long DamagedPages()
    {
        long damaged = 0;
        for (uint page = 1; page < PageCount; page++)
            if (IsSenseless(Volatile.Read(ref PageAt(page)->Word))) damaged++;
        return damaged;
    }

    /// <summary>True if no page but page 0 can have this word.</summary>
    internal bool IsSenseless(ulong value)
    {
        var word = new PageWord(value);
        return value == 0 || word.State is > PageState.Common or PageState.Reserved || word.State switch
        {
            PageState.Slot => word.Owner >= SlotCount,
            PageState.Free or PageState.Cache or PageState.Limbo or PageState.Lent => word.Owner >= (uint)PortCount,
            _ => false,
        };
    }

    /// <summary>What is wrong with the header, for fsck; null if nothing is.</summary>
    internal string? StateFault => Header->State == (uint)SegmentState.Ready ? null : $"the segment's state is {Header->State}, but it was used: nobody is creating or destroying it";

    /// <summary>As <see cref="StateFault"/>, of the file that has the locks.</summary>
    internal string? LocksFault => Header->LocksInode == 0 || Header->LocksInode == _locks.Inode
        ? null : $"the file 'locks' has inode {_locks.Inode}, the segment was made with {Header->LocksInode}: if a peer lives that was started before, it looks dead";

    /// <summary>A process that a bound port names and that lives, though its lock cannot be seen; null if the locks are the right ones.</summary>
    internal int? HiddenProcess() => LocksFault == null ? null : LivingProcess(new ReadOnlySpan<PortEntry>(PortAt(0), PortCount));

    /// <summary>Under the maintenance lock, with no peer alive. Returns how many things were mended.</summary>
    internal int RepairHeader()
    {
        int repaired = 0;
        if (StateFault != null)
        {
            Shared.Store(ref Header->State, (uint)SegmentState.Ready);
            repaired++;
        }

        if (LocksFault != null)
        {
            Shared.Store(ref Header->LocksInode, _locks.Inode);
            repaired++;
        }

        return repaired;
    }
}
