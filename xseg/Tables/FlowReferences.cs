using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Tables;

/// <summary>
/// What in the segment names a flow: cached pages, objects, requests that are not over. A search goes through 32 bytes per page, so it can be done in parts; what begins
/// to name a flow meanwhile is not seen. Damage names too much, never too little of what it did not hit. Not thread-safe.
/// </summary>
/// <param name="segment">The segment.</param>
public sealed unsafe class FlowReferences(Segment segment)
{
    private readonly bool[] _named = new bool[segment.FlowCount];
    private uint _page = 1, _object = 1;
    private int _port;

    /// <summary>Whether something named a flow, once the search is over.</summary>
    public bool this[uint flow] => flow >= (uint)_named.Length || _named[flow];

    /// <summary>All of a search at once.</summary>
    public static FlowReferences Find(Segment segment)
    {
        var found = new FlowReferences(segment);
        while (!found.Advance(int.MaxValue))
        {
        }

        return found;
    }

    /// <summary>Goes on for at most so many pages or objects, or the requests of a port; true when it is over.</summary>
    public bool Advance(int entries)
    {
        if (_page < segment.PageCount)
        {
            for (; entries > 0 && _page < segment.PageCount; entries--, _page++)
            {
                var entry = segment.PageAt(_page);
                if (new PageWord(Volatile.Read(ref entry->Word)).State == PageState.Cache) Note(entry->Flow);
            }

            return false;
        }

        if (_object < (uint)segment.ObjectCount)
        {
            for (; entries > 0 && _object < (uint)segment.ObjectCount; entries--, _object++)
            {
                var entry = segment.ObjectAt(_object);
                if ((byte)Volatile.Read(ref entry->Word) != 0) Note(entry->Flow);
            }

            return false;
        }

        if (_port < segment.PortCount) NoteRequests(_port++);
        return _port >= segment.PortCount;
    }

    private void NoteRequests(int port)
    {
        uint first = (uint)port << segment.SlotShift, used = Math.Min(Volatile.Read(ref segment.PortAt(port)->SlotHighWater), (uint)segment.SlotsPerPort);
        for (uint number = first; number < first + used; number++)
        {
            var slot = segment.SlotAt(number);
            if (new SlotWord(Volatile.Read(ref slot->Word)).State != SlotState.Free) Note(slot->Flow);
        }
    }

    private void Note(uint flow)
    {
        if (flow < (uint)_named.Length) _named[flow] = true;
    }
}
