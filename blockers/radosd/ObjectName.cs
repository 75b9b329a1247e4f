using System.Text;
using System.Text.Unicode;
using Archipelago.Xseg.Layout;

namespace Archipelago.Radosd;

/// <summary>
/// Names as RADOS takes them. Any bytes are a name in a request, but librados' strings end at a NUL: in a name that has a byte 0
/// or 1 these become 1 1 and 1 2. Other names are the object's own, and no two names are one object.
/// </summary>
internal static class ObjectName
{
    private const byte Escape = 1;

    /// <summary>Longest name as RADOS sees it, in bytes.</summary>
    internal const int Longest = 2 * RequestSlot.MaxTarget;

    /// <summary>Whether the name is taken as it is.</summary>
    internal static bool IsPlain(ReadOnlySpan<byte> name) => !name.ContainsAny((byte)0, Escape);

    /// <summary>The name without NULs, in <paramref name="buffer"/> (at least <see cref="Longest"/> bytes).</summary>
    internal static ReadOnlySpan<byte> Encode(ReadOnlySpan<byte> name, Span<byte> buffer)
    {
        int used = 0;
        foreach (byte value in name)
        {
            if (value <= Escape) buffer[used++] = Escape;
            buffer[used++] = value <= Escape ? (byte)(value + 1) : value;
        }

        return buffer[..used];
    }

    /// <summary>What <see cref="Encode"/> made, decoded in place; false for anything else.</summary>
    internal static bool TryDecode(Span<byte> encoded, out int length)
    {
        length = 0;
        for (int i = 0; i < encoded.Length; i++)
        {
            byte value = encoded[i];
            if (value == Escape)
            {
                if (++i == encoded.Length || encoded[i] is not (Escape or Escape + 1)) return false;
                value = (byte)(encoded[i] - 1);
            }

            encoded[length++] = value;
        }

        return length is > 0 and <= RequestSlot.MaxTarget;
    }
}
