namespace Archipelago.Maps;

/// <summary>
/// Writes names of objects of layers without allocation: a letter, a dot, 14 hex digits of the layer, a dot, 10 of the index. The last
/// name stays as it is until another one is asked for: requests come in runs on one object more often than not.
/// </summary>
public struct LayerName
{
    /// <summary>Bytes of a name.</summary>
    public const int Length = 2 + 14 + 1 + 10;

    private readonly byte[] _bytes = new byte[Length];
    private ulong _layer = ulong.MaxValue, _index = ulong.MaxValue;

    /// <summary>Names of data, <c>o</c>, or of chunks of maps, <c>m</c>.</summary>
    public LayerName(char kind) => (_bytes[0], _bytes[1], _bytes[16]) = ((byte)kind, (byte)'.', (byte)'.');

    /// <summary>A name of its own of object <paramref name="index"/> of <paramref name="layer"/>.</summary>
    public static byte[] Data(ulong layer, ulong index) => new LayerName('o').Of(layer, index).ToArray();

    /// <summary>A name of its own of chunk <paramref name="index"/> of <paramref name="layer"/>.</summary>
    public static byte[] Chunk(ulong layer, int index) => new LayerName('m').Of(layer, (ulong)index).ToArray();

    /// <summary>The name, valid until the next call.</summary>
    public ReadOnlySpan<byte> Of(ulong layer, ulong index)
    {
        if (layer != _layer) Hex(_bytes.AsSpan(2, 14), _layer = layer);
        if (index != _index) Hex(_bytes.AsSpan(17, 10), _index = index);
        return _bytes;
    }

    /// <summary>Takes such a name apart; false if it is none.</summary>
    public static bool TryParse(ReadOnlySpan<byte> name, out char kind, out ulong layer, out ulong index)
    {
        (kind, layer, index) = ('\0', 0, 0);
        if (name.Length != Length || name[1] != (byte)'.' || name[16] != (byte)'.') return false;
        kind = (char)name[0];
        return kind is 'o' or 'm' && TryHex(name.Slice(2, 14), out layer) && TryHex(name.Slice(17, 10), out index);
    }

    private static bool TryHex(ReadOnlySpan<byte> text, out ulong value)
    {
        value = 0;
        foreach (byte digit in text)
        {
            int at = "0123456789abcdef"u8.IndexOf(digit);
            if (at < 0) return false;
            value = value << 4 | (uint)at;
        }

        return true;
    }

    private static void Hex(Span<byte> to, ulong value)
    {
        for (int i = to.Length - 1; i >= 0; i--, value >>= 4) to[i] = "0123456789abcdef"u8[(int)value & 15];
    }
}
