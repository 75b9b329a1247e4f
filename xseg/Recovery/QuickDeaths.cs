using System.Text;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Recovery;

/// <summary>
/// Two peers that die within seconds of their start, one after the other, stop the restarts (design 4): what kills them may be in the
/// segment, and each further life may do more harm to it. All under the maintenance lock, before anything else of the segment is touched.
/// </summary>
internal static unsafe class QuickDeaths
{
    private const uint Most = 2;

    /// <summary>Looks at the dead predecessor of a port that is about to be taken over.</summary>
    /// <exception cref="XsegException">EAGAIN: no restarts until <see cref="Clear"/>.</exception>
    internal static void Check(Segment segment, int port, PortOptions options)
    {
        var entry = segment.PortAt(port);
        if (options.QuickDeathWindow <= TimeSpan.Zero || options.Transient || entry->State != (uint)PortState.Bound || (entry->Flags & (uint)PortFlags.Transient) != 0) return;
        var header = segment.Header;
        ulong window = (ulong)options.QuickDeathWindow.TotalMilliseconds * 1_000_000;
        if (header->QuickDeaths < Most && !IsCounted(segment, port)) Count(segment, port, window);
        if (header->QuickDeaths < Most) return;
        throw new XsegException(XsegErrno.EAGAIN,
            $"{segment.DirectoryPath}: two peers died within {options.QuickDeathWindow.TotalSeconds:0.#} s of their start, the last one was {Name(segment, (int)header->QuickDeathPort)} "
            + $"(process {header->QuickDeathProcess}, {Seconds(header->QuickDeathAt)} s ago): restarts are stopped, and the segment is left as it is, with {segment.DirtyPages()} dirty pages. "
            + $"Find the cause in their logs and with `archipelago segment fsck`, then allow restarts: `archipelago segment fsck --clear-deaths --segment {segment.DirectoryPath}`");
    }

    /// <summary>An orderly end: what died before is over.</summary>
    internal static void Forget(Segment segment)
    {
        if (segment.Header->QuickDeaths is not (0 or Most)) Shared.Store(ref segment.Header->QuickDeaths, 0u);
    }

    /// <summary>Allows restarts again.</summary>
    internal static void Clear(Segment segment)
    {
        Shared.Store(ref segment.Header->QuickDeathProcess, 0u);
        Shared.Store(ref segment.Header->QuickDeaths, 0u);
    }

    private static void Count(Segment segment, int port, ulong window)
    {
        var header = segment.Header;
        var entry = segment.PortAt(port);
        if (Life(entry) >= window)
        {
            Shared.Store(ref entry->QuickDeaths, 0u);
            Shared.Store(ref header->QuickDeaths, 0u);
            return;
        }

        // Not in a row: the one that died before has a successor that lived.
        bool first = header->QuickDeaths == 0 || HasSurvived(segment, window);
        Shared.Store(ref entry->QuickDeaths, Math.Min(entry->QuickDeaths, 1000) + 1);
        Shared.Store(ref header->QuickDeathProcess, (uint)entry->ProcessId);
        Shared.Store(ref header->QuickDeathPort, (uint)port);
        Shared.Store(ref header->QuickDeathAt, entry->Heartbeat);
        Shared.Store(ref header->QuickDeaths, first ? 1 : Most);
    }

    /// <summary>All ports of one process die one death. A port that was counted before has died another one.</summary>
    private static bool IsCounted(Segment segment, int port)
    {
        var header = segment.Header;
        return header->QuickDeaths != 0 && header->QuickDeathProcess == (uint)segment.PortAt(port)->ProcessId && header->QuickDeathPort != (uint)port;
    }

    private static bool HasSurvived(Segment segment, ulong window)
    {
        if (segment.Header->QuickDeathPort >= (uint)segment.PortCount) return false;
        var entry = segment.PortAt((int)segment.Header->QuickDeathPort);
        return entry->BoundAt > segment.Header->QuickDeathAt && Life(entry) >= window;
    }

    /// <summary>From its bind to its last sign of life.</summary>
    private static ulong Life(PortEntry* entry) => entry->Heartbeat - Math.Min(entry->BoundAt, entry->Heartbeat);

    private static string Name(Segment segment, int port) => (uint)port < (uint)segment.PortCount ? $"'{Encoding.UTF8.GetString(PortTable.NameOf(segment, port))}'" : $"port {port}";

    private static long Seconds(ulong since) => (long)(Native.Libc.BootTime() - Math.Min(since, Native.Libc.BootTime())) / 1_000_000_000;
}
