using System.Runtime.InteropServices;
using Archipelago.Nbd.Core;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Nbd.Sockets;

/// <summary>
/// One NBD client: handshake, then requests in and replies out. Reused. Calls that read or send come from
/// <see cref="NbdServer.Run"/> or from the socket; what the gateway tells is queued only.
/// </summary>
internal sealed partial class Connection : GatewayClient, IIoHandler
{
    private enum Phase { Idle, Handshake, Transmission, Ending, Failed }

    private const int BufferSize = 4096;

    private readonly NbdServer _server;
    private readonly Gateway _gateway;
    private readonly unsafe byte* _buffer;
    private int _socket = -1;
    private IoWatch? _watch;
    private IoEvents _watched;
    private Phase _phase;
    private int _start, _end;
    private int _inFlight;
    private int _changes;
    private bool _lost;
    private long _progress;

    private Export? _export;
    private bool _structured, _allocation;

    internal unsafe Connection(NbdServer server)
    {
        (_server, _gateway) = (server, server.Gateway);
        _buffer = (byte*)NativeMemory.Alloc(BufferSize);
    }

    /// <summary>In the server's queue.</summary>
    internal bool IsActive { get; set; }

    /// <summary>All requests are answered, but the client does not take the replies.</summary>
    internal bool OnlyWaitsForClient => _phase is Phase.Handshake || (_outCount > 0 && _outCount >= _inFlight);

    private int Buffered => _end - _start;

    internal void Open(int socket)
    {
        (_socket, _phase, _start, _end, _inFlight, _changes, _lost) = (socket, Phase.Handshake, 0, 0, 0, 0, false);
        (_export, _structured, _allocation, _asking, _asked) = (null, false, false, false, false);
        _life++;
        (_writing, _piece, _waitingFor, _drain, _afterWrite, _sendBlocked) = (null, null, null, 0, false, false);
        _watched = IoEvents.Read;
        _watch = _server.Reactor.Watch(socket, IoEvents.Read, this);
        BeginHandshake();
    }

    /// <summary>The gateway stops: no further requests are read.</summary>
    internal void Stop()
    {
        if (_phase == Phase.Handshake) Cut(null);
        else if (_phase == Phase.Transmission) End();
    }

    /// <summary>Ends the connection, for what the client said is no NBD.</summary>
    private void CutGarbage(string reason)
    {
        _gateway.Statistics.ProtocolErrors++;
        Cut(reason);
    }

    /// <summary>Ends the connection from our side.</summary>
    internal void Cut(string? reason)
    {
        if (_phase is Phase.Idle or Phase.Failed) return;
        if (reason != null)
        {
            _gateway.Statistics.Cut++;
            _server.Log.LogDebug("NBD connection to {Export} cut: {Reason}", _export?.Name ?? "no export", reason);
        }

        if (_phase == Phase.Handshake) CutHandshake();
        else Lose();
    }

    /// <summary>True if it holds slots or pages and nothing moved since <paramref name="time"/>.</summary>
    internal bool IsStalledSince(long time) =>
        _phase is Phase.Transmission or Phase.Ending && (_piece != null || _sendBlocked) && _progress < time;

    public void OnReady(IoEvents events)
    {
        if (_phase == Phase.Handshake)
        {
            HandshakeReady(events);
            return;
        }

        if ((events & IoEvents.Write) != 0) _sendBlocked = false;
        if (CanRead) Receive();
        else if ((events & (IoEvents.Error | IoEvents.HangUp | IoEvents.ReadHangUp)) != 0) Fail();
        else Watch(_watched & ~IoEvents.Read);
        _server.Activate(this);
        _server.Run();
    }

    /// <summary>Sends what is queued, and goes on with what was read and had to wait.</summary>
    internal void Progress()
    {
        do
        {
            if (_phase == Phase.Failed)
            {
                CleanUp();
                return;
            }

            if (_phase is not (Phase.Transmission or Phase.Ending)) return;
            Send();
        }
        while (_phase != Phase.Failed && CanRead && Parse());

        if (_phase == Phase.Failed) CleanUp();
        else if (_phase == Phase.Ending && _inFlight == 0 && _outFirst == null) Shut();
        else if (CanRead && (_watched & IoEvents.Read) == 0) Watch(_watched | IoEvents.Read);
    }

    internal override void OnOverdue(XsegOp op) => Settle(op);

    internal override void OnRecycled(XsegOp op, bool overdue)
    {
        _inFlight--;
        if (!overdue) Settle(op);
        _server.Activate(this);
    }

    /// <summary>A change whose outcome the client knows or would know, or that holds others up by its range alone from here on.</summary>
    private void Settle(XsegOp op)
    {
        if (!GatewayRequest.IsChangeOp(op)) return;
        _changes--;
        if (_lost) _server.LostChangeEnded(_export!);
    }

    /// <summary>Goes on where it had to stop for changes of lost clients.</summary>
    internal void Resume(Export export)
    {
        if (_export == export) _server.Activate(this);
    }

    internal unsafe void Dispose() => NativeMemory.Free(_buffer);

    private void Watch(IoEvents events)
    {
        if (_watched == events || _watch == null) return;
        _watched = events;
        _watch.Change(events);
    }

    /// <summary>No more requests; those under way end, then the connection.</summary>
    private void End()
    {
        _phase = Phase.Ending;
        AbandonPayload();
        // After a disconnect the client may close its side, and still has its replies.
        Watch(_watched & ~(IoEvents.Read | IoEvents.ReadHangUp));
        _server.Activate(this);
    }

    /// <summary>The client went away.</summary>
    private void Fail()
    {
        if (_phase is Phase.Idle or Phase.Failed) return;
        _gateway.Statistics.Lost++;
        Lose();
    }

    /// <summary>The connection cannot go on; it is cleaned up at the end of what runs now.</summary>
    private void Lose()
    {
        if (_phase is Phase.Idle or Phase.Failed) return;
        _phase = Phase.Failed;
        _server.Activate(this);
    }

    private void CleanUp()
    {
        CloseSocket();
        AbandonPayload();
        if (_waitingFor is { IsWaiting: true } waiting) waiting.Abandon(null);
        _export?.Overdue.Abandon(this);
        DropQueue();
        if (!_lost && _changes > 0)
        {
            _lost = true;
            _export!.LostChanges += _changes;
        }

        if (_inFlight == 0) Shut();
    }

    private void Shut()
    {
        CloseSocket();
        _phase = Phase.Idle;
        if (_export != null) _server.Exports.Release(_export);
        _export = null;
        _server.Closed(this);
    }

    private void CloseSocket()
    {
        if (_socket < 0) return;
        _watch?.Dispose();
        _watch = null;
        _ = Libc.close(_socket);
        _socket = -1;
    }
}
