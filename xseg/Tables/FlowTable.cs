using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Tables;

/// <summary>Finding and making flows by name. A control-path matter: under the maintenance lock, thread-safe.</summary>
public static unsafe class FlowTable
{
    internal const uint InUse = 2, Retiring = 3;

    /// <summary>Name of the flow of what never changes again, in <see cref="FlowSpace.Shared"/>.</summary>
    public static ReadOnlySpan<byte> SharedName => "images"u8;

    /// <summary>Name of the flow of mapperd's own objects, in <see cref="FlowSpace.Maps"/>.</summary>
    public static ReadOnlySpan<byte> MapsName => "mapperd"u8;

    /// <summary>Index of the flow, or 0 if there is none.</summary>
    public static uint Find(Segment segment, ReadOnlySpan<byte> name, byte space = 0)
    {
        for (uint flow = 1; flow < segment.FlowCount; flow++)
        {
            var entry = segment.FlowAt(flow);
            if (IsNamed((uint)Volatile.Read(ref entry->Word)) && entry->Namespace == space && NameOf(segment, flow).SequenceEqual(name)) return flow;
        }

        return 0;
    }

    /// <summary>
    /// Index of the flow, made with default policy and *safe until first flush* if need be. It is never freed for others, unless a user has told of himself.
    /// </summary>
    /// <exception cref="XsegException">ENOSPC if the table is full, ENAMETOOLONG.</exception>
    public static uint FindOrAdd(Segment segment, ReadOnlySpan<byte> name, byte space = 0) => FindOrAdd(segment, name, space, usedAt: 0, -1);

    /// <summary>
    /// As <see cref="FindOrAdd(Segment, ReadOnlySpan{byte}, byte)"/>, of a flow that may be freed once nobody uses it: <paramref name="user"/>, a port, does from now
    /// on, until <see cref="FlowUse.Leave"/>; −1 if somebody sees to it otherwise that it is not freed.
    /// </summary>
    /// <exception cref="XsegException">ENOSPC if the table is full, ENAMETOOLONG.</exception>
    public static uint FindOrUse(Segment segment, ReadOnlySpan<byte> name, int user = -1) => FindOrAdd(segment, name, FlowSpace.Data, Native.Libc.BootTime(), user);

    /// <summary>Entries that a new flow may take.</summary>
    public static int CountFree(Segment segment)
    {
        int free = 0;
        for (uint flow = 1; flow < segment.FlowCount; flow++)
            if (IsFree(segment, segment.FlowAt(flow))) free++;
        return free;
    }

    private static uint FindOrAdd(Segment segment, ReadOnlySpan<byte> name, byte space, ulong usedAt, int user)
    {
        if (name.Length is 0 or > RequestSlot.MaxTarget) throw new XsegException(XsegErrno.ENAMETOOLONG, $"flow name of {name.Length} bytes: expected 1 to {RequestSlot.MaxTarget}");
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            uint found = Find(segment, name, space);
            if (found != 0)
            {
                if (usedAt != 0) FlowUse.Use(segment, found, user);
                // Whoever is about to free it finds that it is not to be.
                FlowRetirement.Cancel(segment, found);
                return found;
            }

            for (uint flow = 1; flow < segment.FlowCount; flow++)
            {
                var entry = segment.FlowAt(flow);
                if (!IsFree(segment, entry)) continue;
                ulong word = Volatile.Read(ref entry->Word);
                Fill(entry, name, space);
                Shared.Store(ref entry->UsedAt, usedAt);
                Shared.Store(ref entry->Users, (uint)user < 64 ? 1ul << user : 0);
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

    /// <summary>
    /// Sets the policy of a flow, which is not freed for others as long as it has one of its own; its index, or 0 if there is none of that name.
    /// </summary>
    /// <param name="segment">The segment.</param>
    /// <param name="name">Name of the flow.</param>
    /// <param name="space">A <see cref="FlowSpace"/>.</param>
    /// <param name="policy">The policy.</param>
    /// <param name="safe">Write-back only after the first FLUSH since OPEN.</param>
    public static uint SetPolicy(Segment segment, ReadOnlySpan<byte> name, byte space, CachePolicy policy, bool safe)
    {
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            uint flow = Find(segment, name, space);
            if (flow == 0) return 0;
            var entry = segment.FlowAt(flow);
            Shared.Store(ref entry->Policy, (byte)policy);
            Shared.Store(ref entry->SafeUntilFlush, safe ? (byte)1 : (byte)0);
            FlowRetirement.Cancel(segment, flow);
            return flow;
        }
    }

    /// <summary>Name of a flow; empty if it is not in use.</summary>
    public static ReadOnlySpan<byte> NameOf(Segment segment, uint flow)
    {
        var entry = segment.FlowAt(flow);
        return entry == null || !IsNamed((uint)Volatile.Read(ref entry->Word))
            ? default
            : new ReadOnlySpan<byte>(entry->Name, (int)Math.Min(entry->NameLength, RequestSlot.MaxTarget));
    }

    private static bool IsNamed(uint state) => state is InUse or Retiring;

    /// <summary>A word that is damaged does not make an entry free, nor does one that is open look free.</summary>
    private static bool IsFree(Segment segment, FlowEntry* entry) => (uint)Volatile.Read(ref entry->Word) == 0 && !FlowUse.IsUsed(segment, entry);

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
        Shared.Store(ref entry->FlushOwed, (byte)0);
        Shared.Store(ref entry->MinimumPages, 0ul);
        Shared.Store(ref entry->MaximumPages, 0ul);
        Shared.Store(ref entry->DirtyLimit, 0ul);
        Shared.Store(ref entry->DirtyAge, 0ul);
        Shared.Store(ref entry->LockEpoch, 0ul);
        Shared.Store(ref entry->LockId, 0ul);
        Shared.Store(ref entry->VolumeId, 0ul);
        Shared.Store(ref entry->Uncached, (byte)0);
        Shared.Store(ref entry->OpenBy, (ushort)0);
        Shared.Store(ref entry->NameLength, (uint)name.Length);
        Shared.Copy(name, entry->Name);
    }
}
