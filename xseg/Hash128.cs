using System.Buffers.Binary;
using System.Numerics;

namespace Archipelago.Xseg;

/// <summary>
/// The 128-bit hash of names in the segment: MurmurHash3_x64_128 with seed 0 (public domain, Austin Appleby), because a C peer
/// can compute it in thirty lines. It is not for names chosen by an attacker: all peers of a segment trust each other.
/// </summary>
public readonly record struct Hash128(ulong Low, ulong High)
{
    private const ulong C1 = 0x87c37b91114253d5, C2 = 0x4cf5ad432745937f;

    /// <summary>Hash of a name.</summary>
    public static Hash128 Of(ReadOnlySpan<byte> name)
    {
        ulong h1 = 0, h2 = 0;
        var rest = name;
        while (rest.Length >= 16)
        {
            h1 ^= Mix1(BinaryPrimitives.ReadUInt64LittleEndian(rest));
            h1 = (BitOperations.RotateLeft(h1, 27) + h2) * 5 + 0x52dce729;
            h2 ^= Mix2(BinaryPrimitives.ReadUInt64LittleEndian(rest[8..]));
            h2 = (BitOperations.RotateLeft(h2, 31) + h1) * 5 + 0x38495ab5;
            rest = rest[16..];
        }

        ulong k1 = 0, k2 = 0;
        for (int i = rest.Length - 1; i >= 8; i--) k2 = (k2 << 8) | rest[i];
        for (int i = Math.Min(rest.Length, 8) - 1; i >= 0; i--) k1 = (k1 << 8) | rest[i];
        if (rest.Length > 8) h2 ^= Mix2(k2);
        if (rest.Length > 0) h1 ^= Mix1(k1);

        h1 ^= (ulong)name.Length;
        h2 ^= (ulong)name.Length;
        h1 += h2;
        h2 += h1;
        h1 = Finalize(h1);
        h2 = Finalize(h2);
        h1 += h2;
        h2 += h1;
        return new Hash128(h1, h2);
    }

    private static ulong Mix1(ulong k) => BitOperations.RotateLeft(k * C1, 31) * C2;

    private static ulong Mix2(ulong k) => BitOperations.RotateLeft(k * C2, 33) * C1;

    private static ulong Finalize(ulong k)
    {
        k ^= k >> 33;
        k *= 0xff51afd7ed558ccd;
        k ^= k >> 33;
        k *= 0xc4ceb9fe1a85ec53;
        return k ^ (k >> 33);
    }
}
