using System.Runtime.InteropServices;

namespace Archipelago.Bench;

/// <summary>CPU time from the kernel, and where threads run.</summary>
public static unsafe partial class ThreadCpu
{
    private const int ClockProcessCpu = 2;

    /// <summary>CPU time of this process.</summary>
    public static TimeSpan Process
    {
        get
        {
            Timespec time;
            _ = clock_gettime(ClockProcessCpu, &time);
            return new TimeSpan((time.Seconds * TimeSpan.TicksPerSecond) + (time.Nanoseconds / 100));
        }
    }

    /// <summary>Pins the calling thread to a core.</summary>
    /// <exception cref="Runtime.ErrnoException">EINVAL if there is no such core, or this process may not use it.</exception>
    public static void Pin(int core)
    {
        const int Words = 16;
        ulong* mask = stackalloc ulong[Words];
        new Span<ulong>(mask, Words).Clear();
        mask[core / 64] = 1ul << (core % 64);
        if (sched_setaffinity(0, Words * sizeof(ulong), mask) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            throw new Runtime.ErrnoException(error, $"core {core}: the thread cannot be pinned to it: {Marshal.GetPInvokeErrorMessage(error)}; the machine has cores 0 to {Environment.ProcessorCount - 1}, or the process may not use all of them (taskset, cgroup)");
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Timespec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }

    [LibraryImport("libc")]
    private static partial int clock_gettime(int clock, Timespec* time);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int sched_setaffinity(int thread, nuint size, ulong* mask);
}
