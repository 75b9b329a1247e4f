using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Nbd.Core;

/// <summary>
/// A client's request on its way through the gateway: cut into pieces, a few of which are under way at once, and put together
/// again. Reused. It lives until its reply was sent and all its pieces are released.
/// </summary>
internal sealed partial class GatewayRequest(Gateway gateway) : TransportItem
{
    /// <summary>Pieces of one request that are under way, or answered and not yet released, at once.</summary>
    internal const int Window = 4;

    private Piece? _first;
    private Piece? _last;
    private int _pieces;
    private int _holds;
    private bool _sealed;
    private bool _issuedAny;
    private bool _done;
    private bool _busy;
    private bool _again;

    internal GatewayClient Client { get; private set; } = null!;
    internal Export Export { get; private set; } = null!;
    internal XsegOp Op { get; private set; }
    internal RequestFlags Flags { get; private set; }
    internal ulong Offset { get; private set; }
    /// <summary>Bytes asked for, up to 4 GiB − 1.</summary>
    internal uint Length { get; private set; }
    /// <summary>Opaque to the gateway: the client's name for the request.</summary>
    internal ulong Cookie { get; private set; }
    /// <summary>For the transport: what the client wished beside the op.</summary>
    internal int ClientFlags { get; private set; }
    /// <summary>0, or the errno of the piece that failed first.</summary>
    internal int Status { get; private set; }
    /// <summary>For the transport: a piece that it needs until the end.</summary>
    internal Piece? Held { get; set; }
    /// <summary>For the transport: a part of the answer is on its way already.</summary>
    internal bool IsBegun { get; set; }

    /// <summary>Bytes that pieces were made for.</summary>
    internal uint Issued { get; private set; }
    /// <summary>True once all is issued and answered; no data comes after it.</summary>
    internal bool IsDone => _done;
    internal bool IsWaiting { get; set; }
    internal GatewayRequest? NextWaiting { get; set; }
    internal GatewayRequest? PreviousWaiting { get; set; }

    internal void Begin(GatewayClient client, Export export, XsegOp op, RequestFlags flags, ulong offset, uint length, ulong cookie, int clientFlags)
    {
        (Client, Export, Op, Flags, Offset, Length, Cookie, ClientFlags) = (client, export, op, flags, offset, length, cookie, clientFlags);
        (Status, Issued, _pieces, _holds, _sealed, _issuedAny, _done) = (0, 0, 0, 1, false, false, false);
    }

    /// <summary>Sends a request that needs no payload. Its data and its end may come before this returns.</summary>
    internal void Start()
    {
        Seal();
        Advance();
    }

    /// <summary>Ends a request that was refused before anything was issued.</summary>
    internal void Refuse(int status)
    {
        Status = status;
        _sealed = true;
        Complete();
    }

    /// <summary>
    /// Makes the next piece of a WRITE, with pages for its payload: fill them, then <see cref="Submit"/> it. False if there
    /// is no slot or page: <see cref="GatewayClient.OnRoom"/> tells when to try again.
    /// </summary>
    internal bool TryTakePiece(out Piece piece)
    {
        if (!gateway.TryTakePiece(this, out piece)) return false;
        Append(piece);
        return true;
    }

    /// <summary>The piece that is submitted next is the last: nothing more will be issued.</summary>
    internal void PayloadEnds() => Seal();

    /// <summary>
    /// The client is gone: nothing more is issued. <paramref name="unsent"/> is the piece whose payload is incomplete, if any.
    /// The outcome is still told.
    /// </summary>
    internal void Abandon(Piece? unsent)
    {
        gateway.Leave(this);
        if (_done) return;
        // What follows may be the end of the request.
        _holds++;
        if (Status == 0) Status = Errno.ECANCELED;
        _sealed = true;
        // What is under way holds others up no longer than if its client were there.
        gateway.Arm(this);
        DropUnsent();
        if (unsent != null) Discard(unsent);

        if (!_done) Advance();
        Drop();
    }

    /// <summary>The client had its reply.</summary>
    internal void Release() => Drop();

    /// <summary>There is room again.</summary>
    internal void Continue()
    {
        if (Op == XsegOp.Write) Client.OnRoom(this);
        else Advance();
    }

    internal void PieceAnswered() => Advance();

    internal void PieceReleased()
    {
        _pieces--;
        if (!_done) Advance();
        Drop();
    }

    /// <summary>Delivers what was answered, issues what may be issued, tells the end. Calls out of it may come back into it.</summary>
    private void Advance()
    {
        if (_busy)
        {
            _again = true;
            return;
        }

        _busy = true;
        _holds++;
        do
        {
            _again = false;
            Deliver();
            if (!_done && _sealed && Op != XsegOp.Write) Issue();
        }
        while (_again);
        _busy = false;
        if (!_done && _sealed && _first == null && (Issued == Length || Status != 0) && (_issuedAny || Status != 0)) Complete();
        EndOverdue();
        Drop();
    }

    private void Deliver()
    {
        while (_first is { IsAnswered: true } piece)
        {
            Remove(piece);
            if (piece.Status != 0 && Status == 0) Status = piece.Status;
            if (Status == 0 && Op is (XsegOp.Read or XsegOp.MapRead) && !gateway.IsUsable(piece)) Status = Errno.EBADMSG;
            if (Status == 0 && Op is (XsegOp.Read or XsegOp.MapRead)) Client.OnData(piece);
            else piece.Release();
        }
    }

    private void Issue()
    {
        while (Status == 0 && _pieces < Window && (Issued < Length || !_issuedAny))
        {
            if (MustWait() || !gateway.TryTakePiece(this, out var piece)) return;
            Append(piece);
            piece.Submit();
        }
    }

    private void Append(Piece piece)
    {
        piece.NextOfOwner = null;
        if (_last == null) _first = piece;
        else _last.NextOfOwner = piece;
        _last = piece;
        _pieces++;
        _holds++;
        _issuedAny = true;
        Issued += piece.Length;
    }

    /// <summary>Gives up a piece that was not sent, and never will be.</summary>
    internal void Discard(Piece unsent)
    {
        unsent.IsHeld = false;
        Remove(unsent);
        unsent.Release();
    }

    private void Remove(Piece piece)
    {
        Piece? before = null;
        for (var at = _first; at != piece; at = at!.NextOfOwner) before = at;
        if (before == null) _first = piece.NextOfOwner;
        else before.NextOfOwner = piece.NextOfOwner;
        if (_last == piece) _last = before;
        piece.NextOfOwner = null;
    }

    private void Seal()
    {
        _sealed = true;
        gateway.Arm(this);
    }

    private void Complete()
    {
        _done = true;
        OverdueChanges.Release(this);
        gateway.Leave(this);
        gateway.Disarm(this);
        BecomeOverdue();
        Client.OnDone(this);
    }

    private void Drop()
    {
        if (--_holds > 0) return;
        var (client, op, overdue) = (Client, Op, _overdue);
        (Client, Export, Held, IsBegun, _overdue) = (null!, null!, null, false, false);
        gateway.Recycle(this, client);
        client.OnRecycled(op, overdue);
    }
}
