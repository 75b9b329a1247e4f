using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Tests.Fuzz;

/// <summary>Issues random requests and checks that what it gets is of its own flow. A sound one also checks that all of it is right.</summary>
internal sealed unsafe class FuzzClient(Port port, int server, uint flow, byte mark, bool isSound, int seed)
{
    private readonly Random _random = new(seed);
    private readonly Dictionary<uint, (XsegOp Op, bool HasPages)> _sent = [];

    internal Port Port => port;

    internal long Completed { get; private set; }

    internal int Outstanding => _sent.Count;

    internal bool TrySend()
    {
        if (!port.TryAllocate(out var request)) return false;
        var op = _random.Next(4) switch { 0 => XsegOp.Ping, 1 => XsegOp.Write, _ => XsegOp.Read };
        int pages = _random.Next(8) == 0 ? _random.Next(25, 40) : _random.Next(1, 6);
        port.Prepare(request, op, flow, "t"u8, Hash128.Of("t"u8), 0, op == XsegOp.Ping ? 0 : (ulong)pages * 4096);
        bool payload = op == XsegOp.Write || _random.Next(2) == 0;
        bool ready = op == XsegOp.Ping || port.TryAttachPages(request, payload);
        if (ready && payload && op != XsegOp.Ping && request.TryData(out var data))
        {
            for (int i = 0; i < data.Count; i++)
                if (data.Owned(i, out var extent) != null) new Span<byte>(port.Segment.PageBytes(extent.Page), 4096).Fill(mark);
        }

        if (!ready || !port.TrySubmit(request, server))
        {
            port.Free(request);
            return false;
        }

        _sent[request.Slot] = (op, payload);
        port.Kick();
        return true;
    }

    internal int Receive()
    {
        int received = 0;
        for (; port.TryReceive(server, out var request); received++)
        {
            // The vandal can make an answer out of a request that was never sent.
            bool known = _sent.Remove(request.Slot, out var sent);
            if (isSound && !known) throw new InvalidOperationException($"{request}: an answer to nothing");
            Check(request, sent.Op);
            port.Free(request);
            Completed++;
        }

        // As a reactor does that has nothing to do.
        if (received == 0) port.PrepareToSleep();
        port.Awake();
        return received;
    }

    private void Check(in Request request, XsegOp op)
    {
        if (isSound && request.Status is not (0 or XsegErrno.ENOMEM)) throw new InvalidOperationException($"{request}: status {request.Status}");
        if (op != XsegOp.Read || request.Status != 0) return;
        if (!request.TryData(out var data))
        {
            if (isSound) throw new InvalidOperationException($"{request}: its data is gone");
            return;
        }

        for (int i = 0; i < data.Count; i++)
        {
            byte* bytes = data.Readable(i);
            byte first = bytes == null ? (byte)0 : bytes[0], last = bytes == null ? (byte)0 : bytes[4095];
            // A damaged slot may have lost its loan meanwhile: what was read counts only if the loan still holds afterwards.
            if (data.Readable(i) == null) bytes = null;
            if (bytes == null && isSound) throw new InvalidOperationException($"{request}: extent {i} {data.Get(i)} cannot be read");
            if (bytes == null) continue;
            if ((first != mark && (isSound || first != 0)) || first != last)
                throw new InvalidOperationException($"{request}: extent {i} holds '{(char)first}'…'{(char)last}', '{(char)mark}' it should be");
        }
    }
}
