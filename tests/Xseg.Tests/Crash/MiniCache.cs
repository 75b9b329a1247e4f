using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Xunit;

namespace Archipelago.Xseg.Tests.Crash;

/// <summary>
/// The least that a cache does with the segment: adopts full-page writes, lends pages to reads, retires replaced ones, and builds
/// its index from the page table. No blocker: what it holds is the truth.
/// </summary>
internal sealed unsafe class MiniCache
{
    internal const uint Object = 1;

    private readonly Dictionary<ushort, uint> _index = [];
    private ulong _sequence;

    internal MiniCache(Port port)
    {
        Port = port;
        for (uint page = 1; page < port.Segment.PageCount; page++)
        {
            var entry = port.Segment.PageAt(page);
            var word = new PageWord(entry->Word);
            if (word.State != PageState.Cache || word.Owner != (uint)port.Number) continue;
            _sequence = Math.Max(_sequence, entry->Sequence);
            if (!_index.TryGetValue(entry->Bucket, out uint other)) _index[entry->Bucket] = page;
            else if (port.Segment.PageAt(other)->Sequence > entry->Sequence) port.Limbo.Retire(page);
            else
            {
                _index[entry->Bucket] = page;
                port.Limbo.Retire(other);
            }
        }
    }

    internal Port Port { get; }

    internal int Serve()
    {
        int served = 0;
        for (; Port.TryReplay(out var request); served++) Port.Reply(request, Handle(request));
        for (ulong clients = Port.Clients(); clients != 0; clients &= clients - 1)
        {
            int client = System.Numerics.BitOperations.TrailingZeroCount(clients);
            for (; Port.TryAccept(client, out var request); served++) Port.Reply(request, Handle(request));
            Port.EndBatch(client);
        }

        Port.Kick();
        return served;
    }

    private int Handle(in Request request)
    {
        if (!request.TryData(out var data)) return XsegErrno.EBADMSG;
        switch (request.Op)
        {
            case XsegOp.Ping:
                return 0;
            case XsegOp.Write:
                for (int i = 0; i < data.Count; i++)
                {
                    int status = Write(request, data, i, (ushort)((request.Offset >> 12) + (ulong)i));
                    if (status != 0) return status;
                }

                request.Serviced = request.Length;
                return 0;
            case XsegOp.Read:
                for (int i = 0; i < data.Count; i++)
                {
                    ushort bucket = (ushort)((request.Offset >> 12) + (ulong)i);
                    var extent = _index.TryGetValue(bucket, out uint page) ? new Extent(page, new PageWord(Port.Segment.PageAt(page)->Word).Generation) : Extent.Zero;
                    if (!data.Set(i, extent)) return XsegErrno.EBADMSG;
                }

                request.Serviced = request.Length;
                return 0;
            default:
                return XsegErrno.ENOTSUP;
        }
    }

    private int Write(in Request request, in RequestData data, int i, ushort bucket)
    {
        for (int attempt = 0; ; attempt++)
        {
            var outcome = Adoption.Adopt(Port, data, i, Object, bucket, (ushort)request.Flow, new SectorMasks(255, 255, 0, 0), _sequence + 1, 0, out var page);
            switch (outcome)
            {
                case AdoptionOutcome.Adopted:
                    _sequence++;
                    bool replaces = _index.TryGetValue(bucket, out uint old);
                    _index[bucket] = page.Page;
                    if (replaces) Port.Limbo.Retire(old);
                    return 0;
                case AdoptionOutcome.Resumed:
                    Assert.True(_index.ContainsKey(bucket));
                    return 0;
                case AdoptionOutcome.DoneBefore:
                    return 0;
                case AdoptionOutcome.NoFreePage when attempt == 0:
                    Port.Limbo.DrainPastSlowReaders();
                    break;
                case AdoptionOutcome.NoFreePage:
                    return XsegErrno.ENOMEM;
                default:
                    return XsegErrno.EBADMSG;
            }
        }
    }
}
