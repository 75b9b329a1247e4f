using Archipelago.Xseg;

namespace Archipelago.Nbd.Core;

/// <summary>Deadlines, and the order that they must not break: see <see cref="OverdueChanges"/>.</summary>
internal sealed partial class GatewayRequest
{
    private bool _overdue;
    private bool _listed;

    internal GatewayRequest? NextDue { get; set; }
    internal GatewayRequest? PreviousDue { get; set; }
    internal long Due { get; set; }

    // As a change whose deadline has passed.
    internal GatewayRequest? NextOverdue { get; set; }
    internal GatewayRequest? PreviousOverdue { get; set; }
    internal GatewayRequest? FirstHeld { get; set; }
    internal GatewayRequest? LastHeld { get; set; }

    // As one that waits for such a change.
    internal GatewayRequest? HeldBy { get; set; }
    internal GatewayRequest? NextHeld { get; set; }
    internal GatewayRequest? PreviousHeld { get; set; }

    private bool IsChange => IsChangeOp(Op);

    /// <summary>True for what changes the volume's content.</summary>
    internal static bool IsChangeOp(XsegOp op) => op is XsegOp.Write or XsegOp.Discard or XsegOp.WriteZeroes;

    /// <summary>
    /// True if <paramref name="later"/> must not pass this change: it changes, reads or maps some of its range (a reader would see the old
    /// bytes and later, without a change in between, the new ones), or it is a FLUSH, after which nothing from before may still come.
    /// </summary>
    internal bool HoldsUp(GatewayRequest later) =>
        later != this && (later.Op == XsegOp.Flush || (later.Offset < Offset + Length && Offset < later.Offset + later.Length));

    /// <summary>Sends a piece of a WRITE whose payload is there, or keeps it until it may be sent.</summary>
    internal void Submit(Piece piece)
    {
        if (MustWait()) piece.IsHeld = true;
        else piece.Submit();
    }

    /// <summary>What it waited for has ended; there may be more of the kind.</summary>
    internal void GoOn()
    {
        // What follows may be the end of the request.
        _holds++;
        while (HeldBy == null && FirstHeldPiece() is { } piece)
        {
            piece.IsHeld = false;
            Submit(piece);
        }

        Advance();
        Drop();
    }

    /// <summary>
    /// Answered to the client without an outcome. What was never sent has its outcome: it never will be. What is under way stays where it
    /// is, and holds up what overlaps it.
    /// </summary>
    internal void Expire()
    {
        gateway.Disarm(this);
        if (_done) return;
        Status = Runtime.Errno.ETIMEDOUT;
        _holds++;
        bool whole = _sealed;
        DropUnsent();
        if (whole && !_done) Complete();
        else if (!whole) Client.OnExpiredInPayload(this);
        Drop();
    }

    private bool MustWait()
    {
        if (HeldBy != null) return true;
        if (!Export.Overdue.TryHold(this)) return false;
        gateway.Held(this);
        return true;
    }

    private Piece? FirstHeldPiece()
    {
        var piece = _first;
        while (piece is { IsHeld: false }) piece = piece.NextOfOwner;
        return piece;
    }

    private bool IsUnderWay()
    {
        for (var piece = _first; piece != null; piece = piece.NextOfOwner)
            if (piece.IsUnderWay) return true;
        return false;
    }

    private void DropUnsent()
    {
        OverdueChanges.Release(this);
        gateway.Leave(this);
        while (FirstHeldPiece() is { } piece) Discard(piece);
    }

    /// <summary>If it is a change that ends, for its client, before its outcome is known.</summary>
    private void BecomeOverdue()
    {
        if (!IsChange || !IsUnderWay()) return;
        _overdue = _listed = true;
        Export.Overdue.Add(this);
        Client.OnOverdue(Op);
    }

    private void EndOverdue()
    {
        if (!_listed || _first != null) return;
        _listed = false;
        Export.Overdue.Remove(this);
    }
}
