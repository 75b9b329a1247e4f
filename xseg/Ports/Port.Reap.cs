using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Recovery;

namespace Archipelago.Xseg.Ports;

/// <summary>Ports of clients that died and that nobody will succeed.</summary>
public sealed unsafe partial class Port
{
    /// <summary>
    /// Frees the transient ports whose processes are dead, as their successors would: fenced first. One of which a living peer still runs
    /// a request, or whose pages somebody still reads, is left for the next time. Returns the number freed.
    /// </summary>
    public static int ReapTransients(Segment segment)
    {
        int reaped = 0;
        for (int number = 0; number < segment.PortCount; number++)
        {
            if (!IsDeadTransient(segment, number) || TakeDead(segment, number) is not { } port) continue;
            port.Limbo.DrainPastSlowReaders();
            if (port.Limbo.Count == 0)
            {
                port.Dispose();
                reaped++;
                continue;
            }

            // It stays what it was: dead.
            port.Abandon();
            segment.ReleasePortLock(number);
        }

        return reaped;
    }

    private static bool IsDeadTransient(Segment segment, int number)
    {
        var entry = segment.PortAt(number);
        return entry->State == (uint)PortState.Bound && (entry->Flags & (uint)PortFlags.Transient) != 0 && !PortTable.IsAlive(segment, number);
    }

    private static Port? TakeDead(Segment segment, int number)
    {
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            if (segment.Header->State != (uint)SegmentState.Ready || !IsDeadTransient(segment, number) || !segment.TryTakePortLock(number)) return null;
            // No client has any: it is a cache's whose entry is damaged, or pages whose words are. Its successor, or fsck, takes care of them.
            if (PortFaults.DirtyByPort(segment)[number] > 0)
            {
                segment.ReleasePortLock(number);
                return null;
            }

            try
            {
                var report = new RecoveryReport { HadPredecessor = true };
                var name = PortTable.NameOf(segment, number);
                // Not as its successor: what it had accepted fails.
                if (Fence.TryTakeOver(segment, number, sameName: false, keepsCachePages: false, report, out _))
                    return Announce(segment, number, name, sameName: true, new PortOptions { Name = "reaper", Transient = true }, report);
            }
            catch
            {
                segment.ReleasePortLock(number);
                throw;
            }

            segment.ReleasePortLock(number);
            return null;
        }
    }
}
