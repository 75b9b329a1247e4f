using System.Runtime.InteropServices;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Tests.Crash;

/// <summary>Looking at sleep and wake-up from outside.</summary>
internal static unsafe partial class Observation
{
    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        internal int Handle;
        internal short Events, Ready;
    }

    internal static bool IsAsleep(this Segment segment, int port) => segment.PortAt(port)->Sleeping != 0;

    /// <summary>True if poll(2) says at once that the handle is readable.</summary>
    internal static bool IsReadable(this int handle)
    {
        var entry = new PollEntry { Handle = handle, Events = 1 };
        return poll(&entry, 1, 0) == 1;
    }

    [LibraryImport("libc")]
    private static partial int poll(PollEntry* entries, nuint count, int timeout);
}
