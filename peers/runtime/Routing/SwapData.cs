using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Runtime.Routing;

/// <summary>
/// What a WRITE with COMPARE asks of a blocker, checked, and copied once: what the issuer does to its pages afterwards changes neither what is
/// compared nor what is written.
/// </summary>
public readonly struct SwapData
{
    /// <summary>Offset and size are multiples of it.</summary>
    public const int Sector = 512;
    /// <summary>Most bytes that are swapped at once.</summary>
    public const int MaxSize = 64 << 10;

    private readonly byte[] _data;

    private SwapData(ulong offset, byte[] data) => (Offset, _data) = (offset, data);

    /// <summary>First byte of the range in the object.</summary>
    public ulong Offset { get; }
    /// <summary>Bytes of the range.</summary>
    public int Size => _data.Length / 2;
    /// <summary>What the range must hold.</summary>
    public ReadOnlySpan<byte> Expected => _data.AsSpan(0, Size);
    /// <summary>What it holds afterwards.</summary>
    public ReadOnlySpan<byte> Fresh => _data.AsSpan(Size);
    /// <summary>Both, one after the other.</summary>
    public ReadOnlySpan<byte> Both => _data;

    /// <summary>
    /// Reads the request. 0; EINVAL: empty name, or a bad size or alignment; EFBIG: it ends behind <paramref name="maxObject"/>; EBADMSG: the slot
    /// contradicts itself, to be counted by the caller (<see cref="PeerContext.BadRequest"/>).
    /// </summary>
    public static int TryRead(in Request request, ulong maxObject, out SwapData swap)
    {
        swap = default;
        ulong offset = request.Offset, length = request.Length;
        int status = Check(request.Target, offset, length, maxObject);
        if (status != 0) return status;
        byte[] data = GC.AllocateUninitializedArray<byte>((int)length);
        if (!TryCopy(request, offset, data)) return XsegErrno.EBADMSG;
        swap = new SwapData(offset, data);
        return 0;
    }

    /// <summary>As <see cref="TryRead"/>, without the data: 0, EINVAL or EFBIG.</summary>
    public static int Check(in Request request, ulong maxObject) => Check(request.Target, request.Offset, request.Length, maxObject);

    private static int Check(ReadOnlySpan<byte> name, ulong offset, ulong length, ulong maxObject)
    {
        if (length is 0 or > 2 * MaxSize || length % (2 * Sector) != 0 || offset % Sector != 0 || name.IsEmpty) return XsegErrno.EINVAL;
        return offset > maxObject || length / 2 > maxObject - offset ? XsegErrno.EFBIG : 0;
    }

    private static unsafe bool TryCopy(in Request request, ulong offset, Span<byte> to)
    {
        if (!request.TryData(out var data) || data.Count != Request.PagesFor(offset, (ulong)to.Length) || !data.HasPages) return false;
        int inside = (int)(offset & 4095), done = 0;
        for (int i = 0; i < data.Count; i++)
        {
            int part = Math.Min(4096 - inside, to.Length - done);
            // No part is ever spent: nobody adopts pages of such a write.
            byte* page = data.Readable(i);
            if (page == null) return false;
            new ReadOnlySpan<byte>(page + inside, part).CopyTo(to[done..]);
            done += part;
            inside = 0;
        }

        return true;
    }
}
