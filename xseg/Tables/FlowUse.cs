using System.Numerics;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Tables;

/// <summary>
/// Who has a flow open (<see cref="FlowEntry.Users"/>), so that it is not freed. Who died, or was bound anew since the last OPEN or CLOSE, has not. A death between
/// two of the stores below leaves at most a user too many, until he dies. Thread-safe, without a lock.
/// </summary>
public static unsafe class FlowUse
{
    /// <summary>A port has opened the flow: also again, and also for a predecessor.</summary>
    public static void Join(Segment segment, uint flow, int port)
    {
        var entry = segment.FlowAt(flow);
        if (entry == null || flow == 0 || (uint)port >= (uint)segment.PortCount) return;
        ulong users = Volatile.Read(ref entry->Users);
        if ((users & ~Stale(segment, entry, users) & (1ul << port)) == 0) Use(segment, flow, port);
    }

    /// <summary>A port has closed the flow.</summary>
    public static void Leave(Segment segment, uint flow, int port)
    {
        var entry = segment.FlowAt(flow);
        if (entry == null || flow == 0 || (uint)port >= (uint)segment.PortCount) return;
        ForgetStale(segment, entry);
        while (Volatile.Read(ref entry->Users) is var users && (users & (1ul << port)) != 0)
            if (Shared.TrySwap(ref entry->Users, users, users & ~(1ul << port))) break;
        if (entry->UsedAt != 0) Shared.Store(ref entry->UsedAt, Native.Libc.BootTime());
    }

    /// <summary>True if a flow is open, for reading or writing, or its volume is locked, or nobody knows.</summary>
    public static bool IsUsed(Segment segment, uint flow) => segment.FlowAt(flow) is var entry && entry != null && IsUsed(segment, entry);

    /// <summary>True if a port other than the one that asks has a flow open, or nobody knows, as its maker does not say.</summary>
    public static bool HasOthers(Segment segment, uint flow, int port) =>
        segment.FlowAt(flow) is var entry && entry != null
        && (entry->UsedAt == 0 || (Volatile.Read(ref entry->Users) is var users && (users & ~Stale(segment, entry, users) & ~(1ul << port)) != 0));

    internal static bool IsUsed(Segment segment, FlowEntry* entry) =>
        entry->OpenBy != 0 || entry->LockId != 0 || (Volatile.Read(ref entry->Users) is var users and not 0 && (users & ~Stale(segment, entry, users)) != 0);

    /// <summary>A use begins: of a port, or of nobody in particular (−1), which only makes it the one that was used last.</summary>
    internal static void Use(Segment segment, uint flow, int port)
    {
        var entry = segment.FlowAt(flow);
        // In this order: the time makes those users believed whose bits are there.
        ForgetStale(segment, entry);
        Shared.Store(ref entry->UsedAt, Native.Libc.BootTime());
        if ((uint)port < (uint)segment.PortCount) Shared.Or(ref entry->Users, 1ul << port);
    }

    private static void ForgetStale(Segment segment, FlowEntry* entry)
    {
        while (Volatile.Read(ref entry->Users) is var users and not 0)
        {
            ulong stale = Stale(segment, entry, users);
            if (stale == 0 || Shared.TrySwap(ref entry->Users, users, users & ~stale)) return;
        }
    }

    /// <summary>Those of some users that do not live, or were bound after the flow was last opened or closed.</summary>
    private static ulong Stale(Segment segment, FlowEntry* entry, ulong users)
    {
        ulong stale = 0, usedAt = Volatile.Read(ref entry->UsedAt);
        for (ulong left = users; left != 0; left &= left - 1)
        {
            int port = BitOperations.TrailingZeroCount(left);
            if (port >= segment.PortCount || segment.PortAt(port)->BoundAt > usedAt || !PortTable.IsAlive(segment, port)) stale |= 1ul << port;
        }

        return stale;
    }
}
