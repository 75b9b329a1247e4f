using System.Numerics;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Tests.Fuzz;

/// <summary>
/// Serves as peers do, and watches: content that the issuer's flow may not see is a failure. All bytes of a page say whose it is.
/// </summary>
internal sealed unsafe class FuzzServer(Port port, Func<int, byte> markOf)
{
    private ulong _sequence;

    internal long Served { get; private set; }

    internal ulong BadRequests => port.Segment.PortAt(port.Number)->BadRequests;

    internal Port Port => port;

    internal int Serve()
    {
        int served = 0;
        while (port.TryReplay(out var request)) served += Answer(request);
        for (ulong clients = port.Clients(); clients != 0; clients &= clients - 1)
        {
            int client = BitOperations.TrailingZeroCount(clients);
            while (port.TryAccept(client, out var request)) served += Answer(request);
            port.EndBatch(client);
        }

        port.Kick();
        return served;
    }

    private int Answer(in Request request)
    {
        int status = Handle(request, markOf(request.Issuer));
        if (status == XsegErrno.EBADMSG) port.CountBadRequest();
        Served++;
        port.Reply(request, status);
        return 1;
    }

    private int Handle(in Request request, byte mark)
    {
        switch (request.Op)
        {
            case XsegOp.Ping:
                return 0;
            case XsegOp.Write:
                return request.TryData(out var written) ? Take(request, written, mark) : XsegErrno.EBADMSG;
            case XsegOp.Read:
                if (!request.TryData(out var read)) return XsegErrno.EBADMSG;
                return read.HasPages ? FillPages(read, mark) : Lend(read, request.Flow, mark);
            default:
                return XsegErrno.ENOTSUP;
        }
    }

    private int Take(in Request request, in RequestData data, byte mark)
    {
        for (int i = 0; i < data.Count; i++)
        {
            if (data.Get(i).IsSpent) continue;
            byte* bytes = data.Readable(i);
            if (bytes == null) return XsegErrno.EBADMSG;
            byte seen = bytes[100];
            if (seen != mark && seen != 0) throw new InvalidOperationException($"{request}: reads a page of {(char)seen}, of {(char)mark} it should be");
        }

        if (data.Count == 0 || (++_sequence & 1) == 0) return 0;
        var outcome = Adoption.Adopt(port, data, 0, 1, 0, (ushort)request.Flow, new SectorMasks(255, 255, 0, 0), _sequence, 0, out var page);
        if (outcome == AdoptionOutcome.Adopted) port.Limbo.Retire(page.Page);
        if (outcome == AdoptionOutcome.NoFreePage) port.Limbo.DrainPastSlowReaders();
        return outcome == AdoptionOutcome.NotOwned ? XsegErrno.EBADMSG : 0;
    }

    private int FillPages(in RequestData data, byte mark)
    {
        for (int i = 0; i < data.Count; i++)
        {
            if (data.Owned(i, out var extent) == null) return XsegErrno.EBADMSG;
            new Span<byte>(port.Segment.PageBytes(extent.Page), 4096).Fill(mark);
        }

        return 0;
    }

    private int Lend(in RequestData data, uint flow, byte mark)
    {
        for (int i = 0; i < data.Count; i++)
        {
            if (!port.Pages.TryLend(flow, out var extent))
            {
                port.Limbo.DrainPastSlowReaders();
                if (!port.Pages.TryLend(flow, out extent)) return XsegErrno.ENOMEM;
            }

            port.Limbo.Add(extent.Page);
            new Span<byte>(port.Segment.PageBytes(extent.Page), 4096).Fill(mark);
            if (!data.Set(i, extent)) return XsegErrno.EBADMSG;
        }

        return 0;
    }
}
