using System.Globalization;
using System.Runtime.InteropServices;
using Archipelago.Xseg.Native;

namespace Archipelago.Xseg.Memory;

/// <summary>What kind of memory the kernel has given this process for a segment, as smaps says (proc(5)).</summary>
/// <param name="ResidentBytes">Bytes in RAM.</param>
/// <param name="HugeBytes">Of these, bytes in huge pages.</param>
/// <param name="LockedBytes">Of these, bytes that cannot be swapped out.</param>
public sealed record MemoryReport(long ResidentBytes, long HugeBytes, long LockedBytes)
{
    /// <summary>Of the mappings between two addresses: advice for a part of a mapping cuts it.</summary>
    internal static MemoryReport Of(nint from, nint to)
    {
        bool inside = false;
        long resident = 0, huge = 0, locked = 0;
        foreach (string line in File.ReadLines("/proc/self/smaps"))
        {
            int colon = line.IndexOf(':', StringComparison.Ordinal);
            // A header line "start-end perms …" has its first colon in the device number, after a blank.
            if (colon < 0 || line.AsSpan(0, colon).Contains(' '))
            {
                int dash = line.IndexOf('-', StringComparison.Ordinal);
                inside = dash > 0 && nint.TryParse(line.AsSpan(0, dash), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out nint start) && start >= from && start < to;
                continue;
            }

            if (!inside) continue;
            switch (line[..colon])
            {
                case "Rss": resident += KiB(line, colon); break;
                case "ShmemPmdMapped" or "Shared_Hugetlb" or "Private_Hugetlb": huge += KiB(line, colon); break;
                case "Locked": locked += KiB(line, colon); break;
            }
        }

        return new MemoryReport(resident, huge, locked);
    }

    private static long KiB(string line, int colon) =>
        long.TryParse(line.AsSpan(colon + 1).Trim().ToString().Split(' ')[0], CultureInfo.InvariantCulture, out long kib) ? kib << 10 : 0;
}

/// <summary>Memory matters of a mapped segment.</summary>
public sealed unsafe partial class Segment
{
    /// <summary>What kind of memory this process has of the segment.</summary>
    public MemoryReport Memory() => MemoryReport.Of((nint)_base, (nint)(_base + _geometry.TotalSize));

    /// <summary>
    /// Keeps the segment from being swapped out. False if the limit (RLIMIT_MEMLOCK) does not allow it: then
    /// <paramref name="warning"/> says what to raise. Not needed for correctness.
    /// </summary>
    public bool TryLock(out int error, out string warning)
    {
        (error, warning) = (0, "");
        if (Libc.mlock(_base, (nuint)_geometry.TotalSize) == 0) return true;
        error = Marshal.GetLastPInvokeError();
        warning = $"{DirectoryPath}: {_geometry.TotalSize >> 20} MiB cannot be locked in RAM ({Marshal.GetPInvokeErrorMessage(error)}) and may be swapped out; raise the limit (ulimit -l, LimitMEMLOCK=infinity)";
        return false;
    }
}
