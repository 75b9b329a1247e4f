using System.Buffers.Binary;
using Archipelago.Nbd.Core;
using Archipelago.Nbd.Protocol;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Nbd.Sockets;

/// <summary>
/// From answers to replies. With structured replies each piece of a READ is a chunk of its own. A simple reply begins with its first
/// piece; if a later one fails, that can only be told by closing.
/// </summary>
internal sealed partial class Connection
{
    private const int MaxDescriptors = 256;

    internal override unsafe void OnData(Piece piece)
    {
        var request = piece.Owner;
        if (_phase == Phase.Failed)
        {
            piece.Release();
            request.Abandon(null);
        }
        else if (request.Op == XsegOp.MapRead)
        {
            request.Held = piece;
        }
        else if (_structured)
        {
            bool hole = (request.ClientFlags & DontFragment) == 0 && piece.IsHole();
            piece.ScratchLength = hole
                ? ReplyHeaders.Hole(piece.Scratch, request.Cookie, piece.Offset, piece.Length, piece.IsLast)
                : ReplyHeaders.Data(piece.Scratch, request.Cookie, piece.Offset, piece.Length, piece.IsLast);
            Queue(piece, hole ? 0 : piece.Length);
        }
        else
        {
            piece.ScratchLength = request.IsBegun ? 0 : ReplyHeaders.Simple(piece.Scratch, request.Cookie, 0);
            request.IsBegun = true;
            Queue(piece, piece.Length);
        }
    }

    internal override unsafe void OnDone(GatewayRequest request)
    {
        if (request == _waitingFor) _waitingFor = null;
        if (request.Status != 0) _gateway.Statistics.Errors++;
        if (_phase == Phase.Failed || (request.Status != 0 && request.IsBegun))
        {
            Lose();
            Drop(request);
        }
        else if (request.Status != 0)
        {
            Refusal(request, request.Status);
        }
        else if (request.Op == XsegOp.MapRead && request.Held != null)
        {
            BlockStatus(request, request.Held);
        }
        else if (request.Op == XsegOp.Read && request.Length > 0)
        {
            // Its last piece says so.
            request.Release();
        }
        else
        {
            request.ScratchLength = _structured && request.Op == XsegOp.Read
                ? ReplyHeaders.None(request.Scratch, request.Cookie)
                : ReplyHeaders.Simple(request.Scratch, request.Cookie, 0);
            Queue(request, 0);
        }
    }

    private unsafe void Refusal(GatewayRequest request, int status)
    {
        ReleaseHeld(request);
        // Nobody can tell what of a volume is a hole: that is not an error.
        if (request.Op == XsegOp.MapRead && status == Errno.ENOTSUP)
        {
            OneDescriptor(request);
            return;
        }

        if (request.Issued > 0 && status is (Errno.EINVAL or Errno.ENOSPC)) _server.Exports.RefreshLater(request.Export);
        request.ScratchLength = _structured
            ? ReplyHeaders.Error(request.Scratch, request.Cookie, NbdError.Of(status), Errno.Describe(status))
            : ReplyHeaders.Simple(request.Scratch, request.Cookie, NbdError.Of(status));
        Queue(request, 0);
    }

    private void Drop(GatewayRequest request)
    {
        ReleaseHeld(request);
        request.Release();
    }

    private static void ReleaseHeld(GatewayRequest request)
    {
        var piece = request.Held;
        request.Held = null;
        piece?.Release();
    }

    /// <summary>Entries {u64 length, u32 flags, u32 0}, from the offset on, become descriptors {u32 length, u32 flags}.</summary>
    private unsafe void BlockStatus(GatewayRequest request, Piece piece)
    {
        byte* entries = piece.Data.Readable(0);
        int count = entries == null ? 0 : (int)Math.Min(piece.Request.Serviced / 16, MaxDescriptors);
        int most = (request.ClientFlags & RequireOne) != 0 ? 1 : MaxDescriptors;
        var buffer = _server.TakeBuffer();
        var into = (uint*)buffer.Bytes;
        int descriptors = 0;
        ulong left = request.Length;
        for (int i = 0; i < count && left > 0; i++)
        {
            ulong length = Math.Min(BinaryPrimitives.ReadUInt64LittleEndian(new ReadOnlySpan<byte>(entries + i * 16, 8)), left);
            uint flags = (BinaryPrimitives.ReadUInt32LittleEndian(new ReadOnlySpan<byte>(entries + i * 16 + 8, 4)) & 1) != 0
                ? NbdProtocol.StateHole | NbdProtocol.StateZero : 0;
            if (length == 0) continue;
            left -= length;
            uint flagsOut = BinaryPrimitives.ReverseEndianness(flags);
            if (descriptors > 0 && into[descriptors * 2 - 1] == flagsOut)
            {
                into[descriptors * 2 - 2] = BinaryPrimitives.ReverseEndianness(BinaryPrimitives.ReverseEndianness(into[descriptors * 2 - 2]) + (uint)length);
                continue;
            }

            if (descriptors == most) break;
            into[descriptors * 2] = BinaryPrimitives.ReverseEndianness((uint)length);
            into[descriptors * 2 + 1] = flagsOut;
            descriptors++;
        }

        ReleaseHeld(request);
        if (descriptors == 0)
        {
            _server.GiveBuffer(buffer);
            OneDescriptor(request);
            return;
        }

        QueueDescriptors(request, buffer, descriptors);
    }

    private unsafe void OneDescriptor(GatewayRequest request)
    {
        var buffer = _server.TakeBuffer();
        ((uint*)buffer.Bytes)[0] = BinaryPrimitives.ReverseEndianness(request.Length);
        ((uint*)buffer.Bytes)[1] = 0;
        QueueDescriptors(request, buffer, 1);
    }

    private unsafe void QueueDescriptors(GatewayRequest request, NativeBuffer buffer, int descriptors)
    {
        request.ScratchLength = ReplyHeaders.BlockStatus(request.Scratch, request.Cookie, descriptors);
        request.Extra = buffer;
        Queue(request, (uint)(descriptors * 8));
    }
}
