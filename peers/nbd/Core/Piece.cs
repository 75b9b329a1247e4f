using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Nbd.Core;

/// <summary>
/// One XSEG request: a client's request, or up to 1 MiB of a large one (1 GiB where there is no data). Reused; between
/// <see cref="GatewayRequest.TryTakePiece"/> and <see cref="Release"/> it holds a slot.
/// </summary>
internal sealed unsafe class Piece : TransportItem
{
    private readonly Gateway _gateway;
    private readonly Action _finish;
    private ValueTaskAwaiter<int> _awaiter;

    internal Piece(Gateway gateway)
    {
        _gateway = gateway;
        _finish = Finish;
    }

    /// <summary>Next of its owner's pieces, by offset.</summary>
    internal Piece? NextOfOwner { get; set; }
    internal GatewayRequest Owner { get; set; } = null!;
    internal Request Request { get; set; }
    internal ulong Offset { get; set; }
    internal uint Length { get; set; }
    internal int Status { get; private set; }
    internal bool IsAnswered { get; private set; }
    /// <summary>Sent, and not answered.</summary>
    internal bool IsUnderWay { get; private set; }
    /// <summary>Has its payload, and must not be sent yet.</summary>
    internal bool IsHeld { get; set; }

    /// <summary>Extents of the piece, 1 for a MAPR.</summary>
    internal int Extents { get; set; }
    internal RequestData Data { get; set; }
    /// <summary>Ends where the client's request ends.</summary>
    internal bool IsLast => Offset + Length == Owner.Offset + Owner.Length;

    /// <summary>
    /// The bytes of the piece in its page <paramref name="index"/>: payload to be filled in, or an answer to be read. Null if the
    /// page is not the request's (a faulty peer): such a piece must not be used.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal byte* Bytes(int index, out int length)
    {
        int before = (int)(Offset & 4095);
        int start = index == 0 ? before : 0;
        length = (int)Math.Min(4096, before + (long)Length - (long)index * 4096) - start;
        byte* page = Data.Readable(index);
        return page == null ? null : page + start;
    }

    /// <summary>Sends the request on its way. Its answer may come before this returns.</summary>
    internal void Submit()
    {
        (IsAnswered, IsUnderWay) = (false, true);
        var answer = _gateway.Route.SubmitAsync(Request);
        if (answer.IsCompleted)
        {
            Answered(answer.Result);
            return;
        }

        _awaiter = answer.GetAwaiter();
        _awaiter.UnsafeOnCompleted(_finish);
    }

    /// <summary>Frees slot and pages, and ends the loans. The bytes must not be touched any more.</summary>
    internal void Release()
    {
        var owner = Owner;
        Owner = null!;
        IsAnswered = false;
        _gateway.Recycle(this);
        owner.PieceReleased();
    }

    /// <summary>True if every page of an answered READ agrees with the slot.</summary>
    internal bool IsReadable()
    {
        for (int i = 0; i < Extents; i++)
            if (Data.Readable(i) == null) return false;
        return true;
    }

    /// <summary>True if an answered READ consists of nothing but the zero page.</summary>
    internal bool IsHole()
    {
        for (int i = 0; i < Extents; i++)
            if (Data.Get(i) != Extent.Zero) return false;
        return true;
    }

    private void Finish()
    {
        int status = _awaiter.GetResult();
        _awaiter = default;
        Answered(status);
        _gateway.AnsweredLater();
    }

    private void Answered(int status)
    {
        (Status, IsAnswered, IsUnderWay) = (status, true, false);
        Owner.PieceAnswered();
    }
}
