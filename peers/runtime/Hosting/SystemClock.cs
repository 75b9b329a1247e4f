using System.Runtime.InteropServices;

namespace Archipelago.Runtime.Hosting;

/// <summary>The kernel's clocks, read by <c>clock_gettime</c> (a vDSO call: about 30 ns). Allocates nothing.</summary>
public sealed partial class SystemClock : IClock
{
    private const int ClockMonotonic = 1;
    private const int ClockBoottime = 7;

    /// <summary>The one instance.</summary>
    public static SystemClock Instance { get; } = new();

    private SystemClock()
    {
    }

    /// <inheritdoc/>
    public long BoottimeNanoseconds => Read(ClockBoottime);

    /// <inheritdoc/>
    public long MonotonicNanoseconds => Read(ClockMonotonic);

    /// <inheritdoc/>
    public DateTimeOffset UtcNow => DateTimeOffset.UtcNow;

    private static long Read(int clock)
    {
        Timespec time;
        int result;
        unsafe
        {
            result = clock_gettime(clock, &time);
        }

        // Both clocks exist on every kernel that .NET 10 supports: a failure is a fault of this program.
        return result == 0
            ? (time.Seconds * 1_000_000_000L) + time.Nanoseconds
            : throw new InvalidOperationException($"clock_gettime({clock}) failed");
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Timespec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }

    [LibraryImport("libc")]
    private static unsafe partial int clock_gettime(int clock, Timespec* time);
}
