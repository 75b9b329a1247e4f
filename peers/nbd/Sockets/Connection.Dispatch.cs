using Archipelago.Nbd.Core;
using Archipelago.Nbd.Protocol;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Nbd.Sockets;

/// <summary>From request headers to gateway requests. What a header says is checked here, and nowhere else.</summary>
internal sealed partial class Connection
{
    /// <summary>Payload of a refused WRITE is read and thrown away up to this; beyond, the client is cut.</summary>
    private const uint MaxDrain = 2 * NbdProtocol.MaxPayload;
    private const int DontFragment = 1, RequireOne = 2;

    private bool _asking, _asked;
    private int _life;

    /// <summary>Takes up what is buffered as far as it may; true if it took anything.</summary>
    private unsafe bool Parse()
    {
        bool any = false;
        while (true)
        {
            // Payload of a WRITE whose piece had to wait, or of a refused one, lies before the next header.
            any |= DrainBuffered();
            if (_piece != null || _drain > 0 || Buffered < Header || !CanRead) return any;
            byte* at = _buffer + _start;
            _start += Header;
            any = true;
            if (!RequestHeader.TryParse(at, out var header))
            {
                CutGarbage("no NBD request where one was expected");
                return any;
            }

            if (!_asked && IsBeyond(header))
            {
                // Its payload, if it has any, stays where it is meanwhile.
                _start -= Header;
                AskSize();
                continue;
            }

            _asked = false;
            Dispatch(header);
            if (_outCount >= FlushCount) Send();
        }
    }

    private void Dispatch(in RequestHeader header)
    {
        _afterWrite = header.Command == NbdCommand.Write;
        if (header.Command == NbdCommand.Disconnect)
        {
            End();
            return;
        }

        int refusal = Check(header);
        var op = header.Command switch
        {
            NbdCommand.Read => XsegOp.Read,
            NbdCommand.Write => XsegOp.Write,
            NbdCommand.Flush => XsegOp.Flush,
            NbdCommand.Trim => XsegOp.Discard,
            NbdCommand.WriteZeroes => XsegOp.WriteZeroes,
            NbdCommand.BlockStatus => XsegOp.MapRead,
            _ => XsegOp.Ping,
        };
        bool stable = (header.Flags & CommandFlags.ForceUnitAccess) != 0 && GatewayRequest.IsChangeOp(op);
        int wishes = ((header.Flags & CommandFlags.DontFragment) != 0 ? DontFragment : 0) | ((header.Flags & CommandFlags.RequireOne) != 0 ? RequireOne : 0);
        _inFlight++;
        if (GatewayRequest.IsChangeOp(op)) _changes++;
        bool plain = op == XsegOp.Flush;
        var request = _gateway.Begin(
            this, _export!, op, stable ? RequestFlags.ForceUnitAccess : RequestFlags.None,
            plain ? 0 : header.Offset, plain ? 0 : header.Length, header.Cookie, wishes);
        Count(header);
        if (header.Command == NbdCommand.Write) StartWrite(header, request, refusal);
        // A CACHE is a hint, and a request of no bytes is done.
        else if (refusal != 0 || header.Command == NbdCommand.Cache || (header.Length == 0 && !plain)) request.Refuse(refusal);
        else StartPlain(request);
    }

    private void StartPlain(GatewayRequest request)
    {
        request.Start();
        if (request.IsWaiting) _waitingFor = request;
    }

    private void StartWrite(in RequestHeader header, GatewayRequest request, int refusal)
    {
        if (header.Length == 0)
        {
            request.Refuse(refusal);
        }
        else if (refusal == 0)
        {
            _writing = request;
            NextPiece(request);
        }
        else if (header.Length <= MaxDrain)
        {
            (_drain, _refused, _refusal) = (header.Length, request, refusal);
        }
        else
        {
            request.Refuse(refusal);
            CutGarbage("a payload beyond all bounds was announced");
        }
    }

    /// <summary>0, or the errno with which the request is refused.</summary>
    private int Check(in RequestHeader header)
    {
        var allowed = CommandFlags.ForceUnitAccess;
        bool writes = false;
        int beyond = Errno.EINVAL;
        uint longest = uint.MaxValue;
        switch (header.Command)
        {
            case NbdCommand.Read:
                if (_structured) allowed |= CommandFlags.DontFragment;
                longest = NbdProtocol.MaxPayload;
                break;
            case NbdCommand.Write:
                (writes, beyond, longest) = (true, Errno.ENOSPC, NbdProtocol.MaxPayload);
                break;
            case NbdCommand.Trim:
                writes = true;
                break;
            case NbdCommand.WriteZeroes:
                (writes, beyond) = (true, Errno.ENOSPC);
                allowed |= CommandFlags.NoHole;
                if ((header.Flags & CommandFlags.FastZero) != 0) return Errno.ENOTSUP;
                break;
            case NbdCommand.BlockStatus:
                allowed |= CommandFlags.RequireOne;
                if (!_allocation || header.Length == 0) return Errno.EINVAL;
                break;
            case NbdCommand.Flush:
                return (header.Flags & ~allowed) != 0 ? Errno.EINVAL : 0;
            case NbdCommand.Cache:
                break;
            default:
                return Errno.EINVAL;
        }

        if ((header.Flags & ~allowed) != 0 || header.Length > longest) return Errno.EINVAL;
        if (writes && _export!.IsReadOnly) return Errno.EPERM;
        if (((header.Offset | header.Length) & (NbdProtocol.MinimumBlock - 1)) != 0) return Errno.EINVAL;
        if (IsBeyond(header)) return beyond;
        // Of several pieces one chunk could only be made by holding all of them until the last is there.
        if ((header.Flags & CommandFlags.DontFragment) != 0 && header.Length > Gateway.MaxDataPiece) return Errno.EOVERFLOW;
        return 0;
    }

    private bool IsBeyond(in RequestHeader header) =>
        header.Command is NbdCommand.Read or NbdCommand.Write or NbdCommand.Trim or NbdCommand.Cache or NbdCommand.WriteZeroes or NbdCommand.BlockStatus
        && (header.Offset > _export!.Size || header.Length > _export.Size - header.Offset);

    /// <summary>The volume may have grown: the header at hand is looked at again when that is known, and nothing is read until then.</summary>
    private async void AskSize()
    {
        int life = _life;
        _asking = true;
        await _server.Exports.RefreshAsync(_export!);
        // The client may be gone, and another one here.
        if (life != _life) return;
        (_asking, _asked) = (false, true);
        _server.Activate(this);
        _server.RunSoon();
    }

    private void Count(in RequestHeader header)
    {
        var statistics = _gateway.Statistics;
        switch (header.Command)
        {
            case NbdCommand.Read:
                statistics.Reads++;
                statistics.BytesRead += header.Length;
                break;
            case NbdCommand.Write:
                statistics.Writes++;
                statistics.BytesWritten += header.Length;
                break;
            case NbdCommand.Flush:
                statistics.Flushes++;
                break;
            case NbdCommand.Trim:
                statistics.Discards++;
                statistics.BytesDiscarded += header.Length;
                break;
            case NbdCommand.WriteZeroes:
                statistics.Zeroes++;
                statistics.BytesZeroed += header.Length;
                break;
            default:
                statistics.Others++;
                break;
        }
    }
}
