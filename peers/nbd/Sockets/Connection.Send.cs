using Archipelago.Nbd.Core;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Nbd.Sockets;

/// <summary>Sending: the replies of a round in as few system calls as their buffers allow, data from where it lies.</summary>
internal sealed partial class Connection
{
    /// <summary>With so many replies queued they are sent before more is read: the client works meanwhile.</summary>
    private const int FlushCount = 32;
    private const int MaxSend = 1 << 20;

    private TransportItem? _outFirst, _outLast;
    private int _outCount;
    private long _sent;
    private bool _sendBlocked;

    private void Queue(TransportItem item, uint data)
    {
        item.DataLength = data;
        item.NextQueued = null;
        if (_outLast == null) _outFirst = item;
        else _outLast.NextQueued = item;
        _outLast = item;
        _outCount++;
        _server.Activate(this);
    }

    private unsafe void Send()
    {
        while (_outFirst != null && !_sendBlocked && _phase is Phase.Transmission or Phase.Ending)
        {
            int count = Gather(out long gathered);
            if (count == 0)
            {
                Lose();
                return;
            }

            var message = new Libc.Message { Vectors = _server.Vectors, VectorCount = (nuint)count };
            nint sent = Libc.sendmsg(_socket, &message, Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL);
            if (sent < 0)
            {
                if (Libc.LastError == Errno.EINTR) continue;
                if (Libc.LastError == Errno.EAGAIN) Block();
                else Fail();
                return;
            }

            _progress = _server.Reactor.Now;
            Sent(sent);
            if (sent < gathered) Block();
        }

        if (!_sendBlocked && (_watched & IoEvents.Write) != 0) Watch(_watched & ~IoEvents.Write);
    }

    private void Block()
    {
        if (!_sendBlocked) _progress = _server.Reactor.Now;
        _sendBlocked = true;
        Watch(_watched | IoEvents.Write);
    }

    /// <summary>Lists the buffers of what is queued, from the first unsent byte; 0 if a page is not ours to read.</summary>
    private unsafe int Gather(out long gathered)
    {
        var vectors = _server.Vectors;
        int count = 0;
        long skip = _sent;
        gathered = 0;
        for (var item = _outFirst; item != null && gathered < MaxSend; item = item.NextQueued)
        {
            // A header and one buffer at least, so that each call gets somewhere.
            if (count + 2 > NbdServer.MaxVectors) break;
            if (item.ScratchLength > 0) Add(vectors, ref count, item.Scratch, item.ScratchLength, ref skip, ref gathered);
            if (item.DataLength == 0) continue;
            if (item.Extra != null)
            {
                Add(vectors, ref count, item.Extra.Bytes, (int)item.DataLength, ref skip, ref gathered);
                continue;
            }

            var piece = (Piece)item;
            for (int i = 0; i < piece.Extents; i++)
            {
                if (count == NbdServer.MaxVectors) return count;
                byte* bytes = piece.Bytes(i, out int length);
                if (bytes == null) return 0;
                Add(vectors, ref count, bytes, length, ref skip, ref gathered);
            }
        }

        return count;
    }

    private static unsafe void Add(Libc.IoVector* vectors, ref int count, byte* bytes, int length, ref long skip, ref long gathered)
    {
        if (skip >= length)
        {
            skip -= length;
            return;
        }

        bytes += skip;
        length -= (int)skip;
        skip = 0;
        gathered += length;
        if (count > 0 && vectors[count - 1].Base + vectors[count - 1].Length == bytes) vectors[count - 1].Length += (nuint)length;
        else vectors[count++] = new Libc.IoVector { Base = bytes, Length = (nuint)length };
    }

    private void Sent(long bytes)
    {
        _sent += bytes;
        while (_outFirst is { } item && _sent >= item.ScratchLength + item.DataLength)
        {
            _sent -= item.ScratchLength + item.DataLength;
            Unqueue(item);
        }
    }

    private void Unqueue(TransportItem item)
    {
        _outFirst = item.NextQueued;
        if (_outFirst == null) _outLast = null;
        _outCount--;
        item.NextQueued = null;
        if (item.Extra != null)
        {
            _server.GiveBuffer(item.Extra);
            item.Extra = null;
        }

        if (item is Piece piece) piece.Release();
        else ((GatewayRequest)item).Release();
    }

    private void DropQueue()
    {
        while (_outFirst is { } item) Unqueue(item);
        _sent = 0;
    }
}
