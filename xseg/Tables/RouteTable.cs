using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Tables;

/// <summary>Named routes: where requests for "blocks" or "cache" go. A control-path matter, thread-safe.</summary>
public static unsafe class RouteTable
{
    /// <summary>
    /// Points a route at shards that listen on <paramref name="port"/>, port + 1, …; makes it if need be. Entries that make no sense are
    /// dropped, and if the table is full those that lead to a port that nobody has; returns how many. Their peers make them anew.
    /// </summary>
    /// <exception cref="XsegException">ENOSPC if the table is full, ENAMETOOLONG.</exception>
    public static int Set(Segment segment, ReadOnlySpan<byte> name, int port, int shards)
    {
        if (name.Length is 0 or > RouteEntry.MaxName) throw new XsegException(XsegErrno.ENAMETOOLONG, $"route name of {name.Length} bytes: expected 1 to {RouteEntry.MaxName}");
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            int dropped = DropDamaged(segment);
            int free = Choose(segment, name);
            for (int route = 0; free < 0 && route < segment.RouteCount; route++)
            {
                if (!IsAbandoned(segment, route)) continue;
                Drop(segment, route);
                free = route;
                dropped++;
            }

            if (free < 0) throw new XsegException(XsegErrno.ENOSPC, $"the route table is full: {segment.RouteCount} routes");
            Write(segment.RouteAt(free), name, port, shards);
            return dropped;
        }
    }

    /// <summary>The route of this name, or else the first free entry; −1 if there is neither.</summary>
    private static int Choose(Segment segment, ReadOnlySpan<byte> name)
    {
        int free = -1;
        for (int route = 0; route < segment.RouteCount; route++)
        {
            bool used = (uint)segment.RouteAt(route)->Word != 0;
            if (!used && free < 0) free = route;
            if (used && NameOf(segment, route).SequenceEqual(name)) return route;
        }

        return free;
    }

    /// <summary>False if an entry is neither free nor anything that <see cref="Set"/> writes.</summary>
    internal static bool IsSound(Segment segment, int route)
    {
        var entry = segment.RouteAt(route);
        uint state = (uint)Volatile.Read(ref entry->Word);
        return state == 0 || (state == 1 && entry->NameLength is > 0 and <= RouteEntry.MaxName && entry->Shards > 0 && entry->Port + entry->Shards <= segment.PortCount);
    }

    /// <summary>Drops the entries that make no sense; returns how many. Under the maintenance lock.</summary>
    internal static int DropDamaged(Segment segment)
    {
        int dropped = 0;
        for (int route = 0; route < segment.RouteCount; route++)
        {
            if (IsSound(segment, route)) continue;
            Drop(segment, route);
            dropped++;
        }

        return dropped;
    }

    private static void Drop(Segment segment, int route)
    {
        ref ulong word = ref segment.RouteAt(route)->Word;
        Shared.Store(ref word, ((word >> 32) + 1) << 32);
    }

    private static bool IsAbandoned(Segment segment, int route)
    {
        int port = segment.RouteAt(route)->Port;
        return port < segment.PortCount && segment.PortAt(port)->State == (uint)PortState.Free && !PortTable.IsAlive(segment, port);
    }

    /// <summary>Where a route leads: the first port and the number of shards; false if there is no such route.</summary>
    public static bool TryFind(Segment segment, ReadOnlySpan<byte> name, out int port, out int shards)
    {
        for (int route = 0; route < segment.RouteCount; route++)
        {
            var entry = segment.RouteAt(route);
            if ((uint)Volatile.Read(ref entry->Word) != 1 || !NameOf(segment, route).SequenceEqual(name)) continue;
            uint target = Volatile.Read(ref *(uint*)&entry->Port);
            (port, shards) = ((ushort)target, Math.Max((int)(target >> 16), 1));
            return port + shards <= segment.PortCount;
        }

        (port, shards) = (-1, 0);
        return false;
    }

    /// <summary>Name of a route; empty if unused.</summary>
    public static ReadOnlySpan<byte> NameOf(Segment segment, int route)
    {
        var entry = segment.RouteAt(route);
        return (uint)Volatile.Read(ref entry->Word) == 0 ? default : new ReadOnlySpan<byte>(entry->Name, (int)Math.Min(entry->NameLength, RouteEntry.MaxName));
    }

    private static void Write(RouteEntry* entry, ReadOnlySpan<byte> name, int port, int shards)
    {
        ulong word = Volatile.Read(ref entry->Word);
        // One store for both: a route in use is switched as a whole.
        Shared.Store(ref *(uint*)&entry->Port, (ushort)port | (uint)shards << 16);
        Shared.Store(ref entry->NameLength, (uint)name.Length);
        Shared.Copy(name, entry->Name);
        Shared.Store(ref entry->Word, (((word >> 32) + 1) << 32) | 1);
    }
}
