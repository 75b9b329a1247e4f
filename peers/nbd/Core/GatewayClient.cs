using Archipelago.Xseg;

namespace Archipelago.Nbd.Core;

/// <summary>
/// One client as the gateway sees it: an NBD connection, later a virtqueue. The calls come on the reactor, from within
/// <see cref="GatewayRequest.Start"/> or out of a later round; they must not block, and may queue only.
/// </summary>
internal abstract class GatewayClient
{
    /// <summary>Most bytes of the client's READs that are lent at once, by those that have not ended.</summary>
    internal long ReadBytes { get; set; }

    /// <summary>
    /// A piece of a READ or MAPR was answered, its data may be read until <see cref="Piece.Release"/>. Pieces of one request come in
    /// the order of their offsets.
    /// </summary>
    internal abstract void OnData(Piece piece);

    /// <summary>
    /// Every piece of the request was answered, or its deadline has passed; <see cref="GatewayRequest.Status"/> is the outcome.
    /// Once the client has been told, <see cref="GatewayRequest.Release"/> is due.
    /// </summary>
    internal abstract void OnDone(GatewayRequest request);

    /// <summary>
    /// There may be room for the next piece of a WRITE that had to wait (<see cref="GatewayRequest.TryTakePiece"/>), or another request waits
    /// for a slot no longer.
    /// </summary>
    internal abstract void OnRoom(GatewayRequest request);

    /// <summary>
    /// The deadline of a change has passed: its client is told that it failed, and waits for it no longer, though it is under way still
    /// (<see cref="OverdueChanges"/>).
    /// </summary>
    internal abstract void OnOverdue(XsegOp op);

    /// <summary>
    /// The deadline of a WRITE has passed that had to wait with a part of its payload. The rest must go to nobody; after it,
    /// <see cref="GatewayRequest.Refuse"/> is due. The piece that is being filled must be released.
    /// </summary>
    internal abstract void OnExpiredInPayload(GatewayRequest request);

    /// <summary>A request is no more: it had its reply and its slots are free.</summary>
    internal abstract void OnRecycled(XsegOp op, bool overdue);
}
