using System.Runtime.CompilerServices;
using Archipelago.Radosd.Librados;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Ports;

namespace Archipelago.Radosd;

/// <summary>READ with LIST: the cursor is a position of <see cref="RadosListing"/>. The calls block, on a helper thread.</summary>
public sealed partial class RadosdPeer
{
    /// <summary>With less room than for so many more names the listing ends.</summary>
    private const int LeastNames = 16;

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> ListAsync(Request request)
    {
        int status = NameListing.TryBegin(request, out var names);
        if (status != 0) return status;
        var op = Rent(request);
        if (names.Cursor <= uint.MaxValue) status = await BlockingCallAsync(op, session => List(session, names), RadosCall.List);
        if (status == 0) status = await names.AnswerAsync(_lender, request);
        Return(op);
        return status;
    }

    private static int List(RadosSession session, NameListing names)
    {
        // A former instance may have been fenced in the middle.
        names.Clear();
        byte[] buffer = new byte[ObjectName.Longest];
        using var listing = new RadosListing(session.Objects, (uint)names.Cursor);
        while (!listing.IsEnd)
        {
            int most = names.Room / NameListing.MaxRecord;
            if (most < LeastNames)
            {
                names.EndAt(listing.Position);
                break;
            }

            int errno = listing.Read(most, name =>
            {
                // What is no name of ours was put there by somebody else.
                if (name.Length > buffer.Length) return;
                name.CopyTo(buffer);
                if (ObjectName.TryDecode(buffer.AsSpan(0, name.Length), out int length)) names.TryAdd(buffer.AsSpan(0, length));
            });
            if (errno != 0) return errno;
        }

        return names.Status;
    }
}
