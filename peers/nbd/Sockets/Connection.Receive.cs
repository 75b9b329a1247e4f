using Archipelago.Nbd.Core;
using Archipelago.Nbd.Protocol;
using Archipelago.Runtime;

namespace Archipelago.Nbd.Sockets;

/// <summary>
/// Receiving in the transmission phase. Requests without payload are read many at a time; payload goes straight into the pages of
/// its request, and what is read with it beyond its end is exactly the next header.
/// </summary>
internal sealed partial class Connection
{
    /// <summary>Calls before others have their turn.</summary>
    private const int MaxReceives = 16;
    private const int Header = NbdProtocol.RequestHeaderSize;

    private GatewayRequest? _writing;
    private Piece? _piece;
    private uint _received;
    private GatewayRequest? _waitingFor;
    private long _drain;
    private GatewayRequest? _refused;
    private int _refusal;
    private bool _afterWrite;

    private bool CanRead => _phase == Phase.Transmission && !_asking && (_writing == null || _piece != null)
        && (_piece != null || _drain > 0 || (_inFlight < _server.Options.MaxInFlight && _export!.LostChanges == 0 && HasShare && _waitingFor is null or { IsWaiting: false }));

    /// <summary>
    /// A connection has at most as much under way as is left for others: however many of them stall, slots and lent pages remain.
    /// With nothing under way it may always begin something, so its own replies are what it waits for.
    /// </summary>
    private bool HasShare => _inFlight == 0 || (_inFlight <= _gateway.SlotsLeft - _server.FirstSlots && ReadBytes <= _gateway.ReadBytesLeft);

    private void Receive()
    {
        for (int i = 0; i < MaxReceives && CanRead; i++)
        {
            // What is buffered comes first; there is more than a fragment only after a pause.
            if (_piece == null && _drain == 0 && Buffered >= Header)
            {
                Parse();
                continue;
            }

            if (!ReceiveOnce()) return;
            Parse();
            if (_outCount >= FlushCount) Send();
        }
    }

    /// <summary>One system call; false if there is nothing more for now.</summary>
    private unsafe bool ReceiveOnce()
    {
        var vectors = _server.Vectors;
        int count = 0;
        long payload = 0, asked;
        if (_drain > 0)
        {
            asked = payload = Math.Min(_drain, NbdServer.ScrapSize);
            vectors[count++] = new Libc.IoVector { Base = _server.Scrap, Length = (nuint)asked };
        }
        else if (_piece != null)
        {
            count = PayloadVectors(vectors, out payload);
            if (count == 0)
            {
                Lose();
                return false;
            }

            // The buffer is empty: it was taken as payload.
            (_start, _end) = (0, 0);
            asked = payload;
            if (_piece.IsLast)
            {
                vectors[count++] = new Libc.IoVector { Base = _buffer, Length = Header };
                asked += Header;
            }
        }
        else
        {
            Compact();
            asked = (_afterWrite && _end < Header ? Header : BufferSize) - _end;
            vectors[count++] = new Libc.IoVector { Base = _buffer + _end, Length = (nuint)asked };
        }

        var message = new Libc.Message { Vectors = vectors, VectorCount = (nuint)count };
        nint received = Libc.recvmsg(_socket, &message, Libc.MSG_DONTWAIT);
        if (received <= 0)
        {
            if (received == 0 || Libc.LastError is not (Errno.EAGAIN or Errno.EINTR)) Fail();
            return false;
        }

        _progress = _server.Reactor.Now;
        long taken = Math.Min(received, payload);
        if (_drain > 0) Drained(taken);
        else if (_piece != null) PayloadReceived((uint)taken);
        _end += (int)(received - taken);
        // Less than asked for: the socket is empty, and the poll will tell of more.
        return received == asked;
    }

    private unsafe int PayloadVectors(Libc.IoVector* vectors, out long payload)
    {
        var piece = _piece!;
        int count = 0;
        uint at = 0;
        payload = piece.Length - _received;
        for (int i = 0; i < piece.Extents; i++)
        {
            byte* bytes = piece.Bytes(i, out int length);
            if (bytes == null) return 0;
            at += (uint)length;
            if (at <= _received) continue;
            int left = (int)Math.Min(length, at - _received);
            bytes += length - left;
            if (count > 0 && vectors[count - 1].Base + vectors[count - 1].Length == bytes) vectors[count - 1].Length += (nuint)left;
            else vectors[count++] = new Libc.IoVector { Base = bytes, Length = (nuint)left };
        }

        return count;
    }

    private void Drained(long bytes)
    {
        _drain -= bytes;
        if (_drain > 0) return;
        var refused = _refused!;
        _refused = null;
        refused.Refuse(_refusal);
    }

    private void PayloadReceived(uint bytes)
    {
        _received += bytes;
        var piece = _piece!;
        if (_received < piece.Length) return;
        var request = _writing!;
        bool last = piece.IsLast;
        _piece = null;
        if (last)
        {
            _writing = null;
            request.PayloadEnds();
        }

        // It may be the end of the request, and of the client.
        request.Submit(piece);
        if (!last && _writing == request) NextPiece(request);
    }

    /// <summary>Pages for the next part of the payload; without any, the connection is not read until there are.</summary>
    private unsafe void NextPiece(GatewayRequest request)
    {
        if (!request.TryTakePiece(out var piece)) return;
        (_piece, _received, _progress) = (piece, 0, _server.Reactor.Now);
        TakeBuffered();
    }

    /// <summary>Payload that was read ahead goes where it belongs.</summary>
    private unsafe void TakeBuffered()
    {
        while (_piece is { } piece && Buffered > 0)
        {
            uint most = Math.Min((uint)Buffered, piece.Length - _received), at = 0, copied = 0;
            for (int i = 0; i < piece.Extents && copied < most; i++)
            {
                byte* bytes = piece.Bytes(i, out int length);
                if (bytes == null)
                {
                    Lose();
                    return;
                }

                uint skip = Math.Min((uint)length, _received - Math.Min(_received, at));
                at += (uint)length;
                uint part = Math.Min((uint)length - skip, most - copied);
                Buffer.MemoryCopy(_buffer + _start + copied, bytes + skip, part, part);
                copied += part;
            }

            _start += (int)copied;
            PayloadReceived(copied);
        }
    }

    internal override void OnRoom(GatewayRequest request)
    {
        if (request == _writing && _piece == null) NextPiece(request);
        else if (request != _waitingFor) return;
        _server.Activate(this);
    }

    internal override void OnExpiredInPayload(GatewayRequest request)
    {
        if (request != _writing) return;
        var piece = _piece;
        (_drain, _refused, _refusal) = (request.Length - request.Issued + (piece == null ? 0 : piece.Length - _received), request, Errno.ETIMEDOUT);
        (_writing, _piece) = (null, null);
        if (piece != null) request.Discard(piece);
        DrainBuffered();
        _server.Activate(this);
    }

    /// <summary>Throws away payload that was read ahead: it comes before what the socket still has. False if there is none.</summary>
    private bool DrainBuffered()
    {
        int part = (int)Math.Min(_drain, Buffered);
        if (part == 0) return false;
        _start += part;
        Drained(part);
        return true;
    }

    private unsafe void Compact()
    {
        if (_start == 0) return;
        Buffer.MemoryCopy(_buffer + _start, _buffer, BufferSize, Buffered);
        (_start, _end) = (0, Buffered);
    }

    private void AbandonPayload()
    {
        if (_writing is { } writing)
        {
            var piece = _piece;
            (_writing, _piece) = (null, null);
            writing.Abandon(piece);
        }

        if (_refused is { } refused)
        {
            (_refused, _drain) = (null, 0);
            refused.Refuse(_refusal);
        }
    }
}
