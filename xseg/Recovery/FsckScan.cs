using System.Text;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Xseg.Recovery;

/// <summary>One look at a segment: ports, slots and tables here, pages in the other part.</summary>
internal sealed unsafe partial class FsckScan(Segment segment)
{
    private readonly PageCensus _census = new(segment.PortCount);
    private readonly bool[] _alive = new bool[segment.PortCount];
    private int _slotsInUse;

    /// <summary>What was found, by an identity that includes the words involved: what moves on has another one.</summary>
    internal Dictionary<string, FsckFinding> Findings { get; } = [];

    internal int LivePorts { get; private set; }

    internal void Run()
    {
        CheckHeader();
        CheckPorts();
        CheckSlots();
        CheckTables();
        CheckPages();
    }

    internal FsckReport Report(int repaired, FsckScan? seenBefore = null)
    {
        var findings = Findings.Where(found => seenBefore == null || !found.Value.IsFault || seenBefore.Findings.ContainsKey(found.Key));
        return new FsckReport([.. findings.Select(found => found.Value)], _census, _slotsInUse, LivePorts, repaired);
    }

    private void Add(FsckKind kind, ulong number, ulong word, string text, bool repairable = false) =>
        Findings.TryAdd($"{kind}/{number}/{word:x}", new FsckFinding(kind, text, repairable));

    private string Name(int port) => $"port {port} '{Encoding.UTF8.GetString(PortTable.NameOf(segment, port))}'";

    private void CheckHeader()
    {
        if (segment.StateFault is { } state) Add(FsckKind.DamagedHeader, 0, segment.Header->State, state, repairable: true);
        if (segment.LocksFault is { } locks)
            Add(FsckKind.DamagedHeader, 1, segment.Header->LocksInode, segment.HiddenProcess() is { } process ? $"{locks}; process {process} does live" : locks, repairable: true);
    }

    private void CheckPorts()
    {
        uint quick = segment.Header->QuickDeaths;
        if (quick != 0)
            Add(FsckKind.QuickDeaths, quick, 0, $"{quick} peers in a row died within seconds of their start, the last one was process {segment.Header->QuickDeathProcess}{(quick > 1 ? "; restarts are stopped until --clear-deaths" : "")}");
        long[] dirty = PortFaults.DirtyByPort(segment);
        for (int port = 0; port < segment.PortCount; port++)
        {
            var entry = segment.PortAt(port);
            uint state = Volatile.Read(ref entry->State);
            _alive[port] = PortTable.IsAlive(segment, port);
            if (_alive[port]) LivePorts++;
            if (PortFaults.Of(segment, port) is { } fault) Add(FsckKind.DamagedPort, (ulong)port, state, fault, repairable: true);
            else if (PortFaults.IsOrphaned(segment, port, dirty[port]))
                Add(FsckKind.DamagedPort, (ulong)port, state, $"port {port} has {dirty[port]} dirty pages, but no name", repairable: true);
            if (entry->SlotHighWater > segment.SlotsPerPort)
                Add(FsckKind.DamagedPort, (ulong)port, entry->SlotHighWater, $"{Name(port)}: {entry->SlotHighWater} slots used of {segment.SlotsPerPort}", repairable: true);
            if (state == (uint)PortState.Free) continue;
            if (state == (uint)PortState.Bound && !_alive[port])
                Add(FsckKind.DeadPort, (ulong)port, entry->Generation, $"{Name(port)}: its process {entry->ProcessId} died; what it held waits for a successor", repairable: true);
            if (entry->BadRequests + entry->StaleEntries + entry->CorruptEntries + entry->Kept != 0)
                Add(FsckKind.Counters, (ulong)port, 0, $"{Name(port)}: {entry->BadRequests} bad requests, {entry->StaleEntries} stale and {entry->CorruptEntries} damaged entries, {entry->Kept} failed after three deaths");
        }
    }

    private void CheckSlots()
    {
        ulong epoch = segment.Epoch;
        for (uint number = 0; number < segment.SlotCount; number++)
        {
            var slot = segment.SlotAt(number);
            var word = new SlotWord(Volatile.Read(ref slot->Word));
            if (word.State == SlotState.Free) continue;
            _slotsInUse++;
            int issuer = (int)(number >> segment.SlotShift);
            string what = $"slot {number} of {Name(issuer)}";
            if (word.State > SlotState.Replied || (word.State != SlotState.Owned && word.Holder >= segment.PortCount))
            {
                Add(FsckKind.StuckSlot, number, word.Value, $"{what}: word {word.Value:x16} makes no sense", repairable: true);
                continue;
            }

            if ((number & (uint)(segment.SlotsPerPort - 1)) >= segment.PortAt(issuer)->SlotHighWater)
                Add(FsckKind.StuckSlot, number, word.Value, $"{what} is in use above the port's high-water mark: limbo and recovery do not see it", repairable: true);
            if (segment.PortAt(issuer)->State == (uint)PortState.Free && !_alive[issuer])
                Add(FsckKind.StuckSlot, number, word.Value, $"{what} is {word.State}, but nobody has the port", repairable: true);
            if (slot->Epoch > epoch) Add(FsckKind.StuckSlot, number, word.Value, $"{what}: epoch {slot->Epoch} is in the future, now is {epoch}", repairable: true);
            if (!_alive[issuer]) continue;
            if (word.State == SlotState.Queued && _alive[word.Holder] && !IsInRing(issuer, word.Holder, 0, number, word.Generation))
                Add(FsckKind.StuckSlot, number, word.Value, $"{what} is queued at {Name(word.Holder)}, whose ring does not have it");
            if (word.State == SlotState.Replied && _alive[word.Holder] && !IsInRing(issuer, word.Holder, 1, number, word.Generation))
                Add(FsckKind.StuckSlot, number, word.Value, $"{what} was answered by {Name(word.Holder)}, but the ring does not say so");
        }
    }

    private bool IsInRing(int client, int server, int which, uint slot, uint generation)
    {
        byte* ring = segment.RingAt(client, server, which);
        var entries = (ulong*)(ring + LinkLayout.EntriesOffset);
        for (int i = 0; i < segment.RingCapacity; i++)
        {
            ulong entry = Volatile.Read(ref entries[i]);
            if (((uint)entry & 0xFF_FFFF) == slot && (uint)(entry >> 32) == generation && RingEntry.LapOf(entry) != 0) return true;
        }

        return false;
    }

    private void CheckTables()
    {
        for (int route = 0; route < segment.RouteCount; route++)
        {
            var entry = segment.RouteAt(route);
            if ((uint)entry->Word == 0) continue;
            if (!RouteTable.IsSound(segment, route))
                Add(FsckKind.DamagedTable, (ulong)route, entry->Word, $"route {route}: a name of {entry->NameLength} bytes, ports {entry->Port} to {entry->Port + entry->Shards - 1} of {segment.PortCount}", repairable: true);
        }

        for (uint flow = 1; flow < segment.FlowCount; flow++)
        {
            var entry = segment.FlowAt(flow);
            if ((uint)entry->Word != 2) continue;
            if (entry->NameLength is 0 or > RequestSlot.MaxTarget || Hash128.Of(new ReadOnlySpan<byte>(entry->Name, (int)entry->NameLength)) != new Hash128(entry->HashLow, entry->HashHigh))
                Add(FsckKind.DamagedTable, 1ul << 32 | flow, entry->Word, $"flow {flow}: its name of {entry->NameLength} bytes and its hash do not agree");
        }

        for (uint index = 1; index < segment.ObjectCount; index++)
            if ((byte)segment.ObjectAt(index)->Word == 2 && !HasName(index))
                Add(FsckKind.DamagedTable, 2ul << 32 | index, segment.ObjectAt(index)->Word, $"object {index}: its name of {segment.ObjectAt(index)->NameLength} bytes and its hash do not agree");
    }

    internal bool HasName(uint index)
    {
        var entry = segment.ObjectAt(index);
        return entry != null && index != 0 && (byte)entry->Word == 2 && entry->NameLength is > 0 and <= RequestSlot.MaxTarget
            && Hash128.Of(new ReadOnlySpan<byte>(entry->Name, (int)entry->NameLength)) == new Hash128(entry->HashLow, entry->HashHigh);
    }
}
