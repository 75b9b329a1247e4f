using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Tables;

/// <summary>Finding and making flows by name. A control-path matter: under the maintenance lock, thread-safe.</summary>
public static unsafe class FlowTable
{
    private const uint InUse = 2;

    /// <summary>Name of the flow of what never changes again, in <see cref="FlowSpace.Shared"/>.</summary>
    public static ReadOnlySpan<byte> SharedName => "images"u8;

    /// <summary>Index of the flow, or 0 if there is none.</summary>
    public static uint Find(Segment segment, ReadOnlySpan<byte> name, byte space = 0)
    {
        for (uint flow = 1; flow < segment.FlowCount; flow++)
        {
            var entry = segment.FlowAt(flow);
            if ((uint)Volatile.Read(ref entry->Word) == InUse && entry->Namespace == space && NameOf(segment, flow).SequenceEqual(name)) return flow;
        }

        return 0;
    }

    /// <summary>Index of the flow, made with default policy and *safe until first flush* if need be.</summary>
    /// <exception cref="XsegException">ENOSPC if the table is full, ENAMETOOLONG.</exception>
    public static uint FindOrAdd(Segment segment, ReadOnlySpan<byte> name, byte space = 0)
    {
        if (name.Length is 0 or > RequestSlot.MaxTarget) throw new XsegException(XsegErrno.ENAMETOOLONG, $"flow name of {name.Length} bytes: expected 1 to {RequestSlot.MaxTarget}");
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            uint found = Find(segment, name, space);
            if (found != 0) return found;
            for (uint flow = 1; flow < segment.FlowCount; flow++)
            {
                var entry = segment.FlowAt(flow);
                ulong word = Volatile.Read(ref entry->Word);
                if ((uint)word == InUse) continue;
                Fill(entry, name, space);
                Shared.Store(ref entry->Word, (((word >> 32) + 1) << 32) | InUse);
                return flow;
            }
        }

        throw new XsegException(XsegErrno.ENOSPC, $"the flow table is full: {segment.FlowCount} flows; create the segment with more ([segment] flows)");
    }

    /// <summary>True if a number, which may come from anywhere, is that of a flow whose pages any slot may read.</summary>
    public static bool IsShared(Segment segment, uint flow)
    {
        var entry = segment.FlowAt(flow);
        return entry != null && entry->Namespace == FlowSpace.Shared && (uint)Volatile.Read(ref entry->Word) == InUse;
    }

    /// <summary>True if another host has taken the volume of a flow, whose number may come from anywhere, from who has it open here (<see cref="FlowEntry.Lost"/>).</summary>
    public static bool IsLost(Segment segment, uint flow) => segment.FlowAt(flow) is var entry && entry != null && entry->OpenBy == FlowEntry.Lost;

    /// <summary>Frees a flow of which nothing is cached any more.</summary>
    public static void Remove(Segment segment, uint flow)
    {
        var entry = segment.FlowAt(flow);
        if (entry != null && flow != 0) Shared.Store(ref entry->Word, Volatile.Read(ref entry->Word) & ~(ulong)uint.MaxValue);
    }

    /// <summary>Name of a flow; empty if it is not in use.</summary>
    public static ReadOnlySpan<byte> NameOf(Segment segment, uint flow)
    {
        var entry = segment.FlowAt(flow);
        return entry == null || (uint)Volatile.Read(ref entry->Word) != InUse
            ? default
            : new ReadOnlySpan<byte>(entry->Name, (int)Math.Min(entry->NameLength, RequestSlot.MaxTarget));
    }

    private static void Fill(FlowEntry* entry, ReadOnlySpan<byte> name, byte space)
    {
        var hash = Hash128.Of(name);
        Shared.Store(ref entry->HashLow, hash.Low);
        Shared.Store(ref entry->HashHigh, hash.High);
        Shared.Store(ref entry->Policy, (byte)CachePolicy.Default);
        Shared.Store(ref entry->HasFlushed, (byte)0);
        Shared.Store(ref entry->Namespace, space);
        Shared.Store(ref entry->SafeUntilFlush, (byte)1);
        Shared.Store(ref entry->Degraded, (byte)0);
        Shared.Store(ref entry->Checksums, (byte)0);
        Shared.Store(ref entry->Ordered, (byte)0);
        Shared.Store(ref entry->MinimumPages, 0ul);
        Shared.Store(ref entry->MaximumPages, 0ul);
        Shared.Store(ref entry->DirtyLimit, 0ul);
        Shared.Store(ref entry->DirtyAge, 0ul);
        Shared.Store(ref entry->LockEpoch, 0ul);
        Shared.Store(ref entry->LockId, 0ul);
        Shared.Store(ref entry->Uncached, (byte)0);
        Shared.Store(ref entry->OpenBy, (ushort)0);
        Shared.Store(ref entry->NameLength, (uint)name.Length);
        Shared.Copy(name, entry->Name);
    }
}
