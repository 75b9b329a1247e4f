using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Tables;

/// <summary>What in the segment names a flow. It reads all of the page table, 32 bytes per page: not for a reactor's thread.</summary>
public static unsafe class FlowReferences
{
    /// <summary>For each flow, whether a cached page, an object or a request that is not over names it. Damage names too much, never too little of what it did not hit.</summary>
    public static bool[] Find(Segment segment)
    {
        var named = new bool[segment.FlowCount];
        for (uint page = 1; page < segment.PageCount; page++)
        {
            var entry = segment.PageAt(page);
            if (new PageWord(Volatile.Read(ref entry->Word)).State == PageState.Cache) Note(named, entry->Flow);
        }

        for (uint index = 1; index < (uint)segment.ObjectCount; index++)
        {
            var entry = segment.ObjectAt(index);
            if ((byte)Volatile.Read(ref entry->Word) != 0) Note(named, entry->Flow);
        }

        for (int port = 0; port < segment.PortCount; port++) NoteRequests(segment, port, named);
        return named;
    }

    private static void NoteRequests(Segment segment, int port, bool[] named)
    {
        uint first = (uint)port << segment.SlotShift, used = Math.Min(Volatile.Read(ref segment.PortAt(port)->SlotHighWater), (uint)segment.SlotsPerPort);
        for (uint number = first; number < first + used; number++)
        {
            var slot = segment.SlotAt(number);
            if (new SlotWord(Volatile.Read(ref slot->Word)).State != SlotState.Free) Note(named, slot->Flow);
        }
    }

    private static void Note(bool[] named, uint flow)
    {
        if (flow < (uint)named.Length) named[flow] = true;
    }
}
