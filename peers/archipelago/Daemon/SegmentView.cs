using System.Numerics;
using System.Text;
using Archipelago.Runtime.Hosting;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Cli.Daemon;

/// <summary>Looks at a segment from outside: changes nothing, believes nothing.</summary>
internal static unsafe class SegmentView
{
    /// <summary>A reactor gives a sign of life ten times a second; parked ones once a second.</summary>
    private static readonly TimeSpan HungAfter = TimeSpan.FromSeconds(3);

    internal static SegmentInfo Info(Segment segment)
    {
        var states = new SortedDictionary<string, long>(StringComparer.Ordinal);
        long dirty = 0;
        for (uint page = 0; page < segment.PageCount; page++)
        {
            var entry = segment.PageAt(page);
            var state = new PageWord(Volatile.Read(ref entry->Word)).State;
            string name = Enum.IsDefined(state) ? state.ToString().ToLowerInvariant() : "damaged";
            states[name] = states.GetValueOrDefault(name) + 1;
            if (state == PageState.Cache && entry->IsUnstable) dirty++;
        }

        return new SegmentInfo(
            segment.DirectoryPath, segment.CreationId.ToString("x32"), segment.TotalSize, segment.PageCount, states, dirty, segment.PortCount,
            segment.SlotsPerPort, segment.FlowCount, segment.ObjectCount, segment.Epoch);
    }

    internal static IReadOnlyList<PortInfo> Ports(Segment segment)
    {
        ulong now = (ulong)SystemClock.Instance.BoottimeNanoseconds;
        var found = new List<PortInfo>();
        for (int port = 0; port < segment.PortCount; port++)
        {
            var entry = segment.PortAt(port);
            if (entry->State != (uint)PortState.Bound) continue;
            double age = (now - Math.Min(Volatile.Read(ref entry->Heartbeat), now)) / 1e9;
            string state = !PortTable.IsAlive(segment, port) ? "dead" : age > HungAfter.TotalSeconds ? "hung" : "alive";
            found.Add(new PortInfo(
                port, Encoding.UTF8.GetString(PortTable.NameOf(segment, port)), state, entry->ProcessId, entry->Generation, age, entry->PageShare,
                SlotsUsed(segment, port), RoutesTo(segment, port), entry->Accepted, entry->BadRequests, entry->StaleEntries, entry->CorruptEntries,
                entry->Replayed, entry->Kept, (entry->Flags & (uint)PortFlags.Transient) != 0));
        }

        return found;
    }

    internal static IReadOnlyList<RequestInfo> Requests(Segment segment)
    {
        var found = new List<RequestInfo>();
        for (int port = 0; port < segment.PortCount; port++)
        {
            uint first = (uint)port << segment.SlotShift;
            for (uint number = first; number < first + Used(segment, port); number++)
            {
                var slot = segment.SlotAt(number);
                var word = new SlotWord(Volatile.Read(ref slot->Word));
                if (word.State == SlotState.Free) continue;
                found.Add(new RequestInfo(
                    number, word.Generation, word.State.ToString().ToLowerInvariant(), PortName(segment, port),
                    word.State == SlotState.Owned ? PortName(segment, port) : PortName(segment, word.Holder),
                    Enum.IsDefined((XsegOp)slot->Op) ? ((XsegOp)slot->Op).ToString().ToUpperInvariant() : $"op {slot->Op}",
                    Text(new ReadOnlySpan<byte>(slot->Target, Math.Min(slot->TargetLength, (ushort)RequestSlot.MaxTarget))),
                    slot->Offset, slot->Length, slot->Flow, (int)slot->Status, slot->Attempts,
                    slot->Parent == SlotWord.NoSlot ? "" : $"{slot->Parent}/{slot->ParentGeneration}", Path(segment, slot)));
            }
        }

        return found;
    }

    internal static IReadOnlyList<FlowInfo> Flows(Segment segment)
    {
        long[] cached = new long[segment.FlowCount], dirty = new long[segment.FlowCount];
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var entry = segment.PageAt(page);
            if (new PageWord(Volatile.Read(ref entry->Word)).State != PageState.Cache || entry->Flow >= segment.FlowCount) continue;
            cached[entry->Flow]++;
            if (entry->IsUnstable) dirty[entry->Flow]++;
        }

        var found = new List<FlowInfo>();
        for (uint flow = 1; flow < segment.FlowCount; flow++)
        {
            var name = FlowTable.NameOf(segment, flow);
            var entry = segment.FlowAt(flow);
            if (name.Length == 0) continue;
            found.Add(new FlowInfo(
                Text(name), (int)flow, ((CachePolicy)entry->Policy).ToString().ToLowerInvariant(), entry->SafeUntilFlush != 0, entry->HasFlushed != 0,
                entry->Degraded != 0, cached[flow], dirty[flow]));
        }

        return found;
    }

    private static uint Used(Segment segment, int port) => Math.Min(Volatile.Read(ref segment.PortAt(port)->SlotHighWater), (uint)segment.SlotsPerPort);

    private static int SlotsUsed(Segment segment, int port)
    {
        int used = 0;
        uint first = (uint)port << segment.SlotShift;
        for (uint number = first; number < first + Used(segment, port); number++)
            if (new SlotWord(Volatile.Read(ref segment.SlotAt(number)->Word)).State != SlotState.Free) used++;
        return used;
    }

    private static string RoutesTo(Segment segment, int port)
    {
        var names = new List<string>();
        for (int route = 0; route < segment.RouteCount; route++)
        {
            var name = RouteTable.NameOf(segment, route);
            if (name.Length > 0 && RouteTable.TryFind(segment, name, out int first, out int shards) && port >= first && port < first + shards) names.Add(Text(name));
        }

        return string.Join(",", names);
    }

    private static string Path(Segment segment, RequestSlot* slot)
    {
        var ports = new List<string>();
        for (int i = 0; i < Math.Min((int)slot->PathLength, RequestSlot.MaxPath); i++) ports.Add(PortName(segment, slot->Path[i]));
        return string.Join(">", ports);
    }

    private static string PortName(Segment segment, int port) =>
        port < segment.PortCount && PortTable.NameOf(segment, port) is { Length: > 0 } name ? Text(name) : $"port {port}";

    /// <summary>Names come from shared memory and end on a terminal.</summary>
    private static string Text(ReadOnlySpan<byte> bytes) => string.Create(Encoding.UTF8.GetCharCount(bytes), bytes.ToArray(), static (text, from) =>
    {
        Encoding.UTF8.GetChars(from, text);
        for (int i = 0; i < text.Length; i++)
            if (char.IsControl(text[i])) text[i] = '?';
    });
}
