using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Memd;

/// <summary>READ with LIST: in the order of the names' hashes, which no insertion changes.</summary>
public sealed partial class MemdPeer
{
    private ValueTask<int> List(in Request request)
    {
        int status = NameListing.TryBegin(request, out var names);
        if (status != 0) return new ValueTask<int>(status);
        var found = new List<(ulong Position, byte[] Name)>();
        foreach (var named in _store.All())
            if (PositionOf(named) >= names.Cursor) found.Add((PositionOf(named), named.Name));
        found.Sort((a, b) => a.Position.CompareTo(b.Position));
        ulong? last = null;
        foreach (var (position, name) in found)
        {
            if (position != last) names.BeginPosition(position);
            last = position;
            if (!names.TryAdd(name)) break;
        }

        return names.Status != 0 ? new ValueTask<int>(names.Status) : names.AnswerAsync(_lender, request);
    }

    // One bit less: the highest cursor is the end.
    private static ulong PositionOf(MemoryObject named) => named.Hash.Low >> 1;
}
