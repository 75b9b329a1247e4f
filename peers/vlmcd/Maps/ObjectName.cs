namespace Archipelago.Vlmcd.Maps;

/// <summary>Writes names of objects, <c>o.</c> + 16 hex digits of the volume's id + <c>.</c> + 10 of the index, without allocation.</summary>
internal struct ObjectName
{
    internal const int Length = 2 + 16 + 1 + 10;
    private readonly byte[] _bytes = new byte[Length];
    private ulong _index = ulong.MaxValue;

    internal ObjectName(ulong volumeId)
    {
        "o."u8.CopyTo(_bytes);
        Hex(_bytes.AsSpan(2, 16), volumeId);
        _bytes[18] = (byte)'.';
    }

    /// <summary>The name of object <paramref name="index"/>, valid until the next call.</summary>
    internal ReadOnlySpan<byte> Of(ulong index)
    {
        // Requests come in runs on one object more often than not.
        if (index != _index)
        {
            Hex(_bytes.AsSpan(19, 10), index);
            _index = index;
        }

        return _bytes;
    }

    private static void Hex(Span<byte> to, ulong value)
    {
        for (int i = to.Length - 1; i >= 0; i--, value >>= 4) to[i] = "0123456789abcdef"u8[(int)value & 15];
    }
}
