using System.Numerics;
using System.Runtime.CompilerServices;

namespace Archipelago.Bench;

/// <summary>
/// A bijection of 0 … count − 1 onto itself that the key decides: each block once, in no order, without a bitmap. Four rounds of
/// a Feistel network over the next even number of bits; values outside the range walk the cycle until they are inside, less than
/// three steps more on average.
/// </summary>
public readonly struct Permutation
{
    private readonly ulong _count;
    private readonly ulong _key;
    private readonly int _half;
    private readonly ulong _mask;

    /// <summary>A permutation of <paramref name="count"/> (at least 1, at most 2⁶²) numbers.</summary>
    public Permutation(long count, ulong key)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, 1L << 62);
        int bits = Math.Max(2, 64 - BitOperations.LeadingZeroCount((ulong)count - 1));
        _count = (ulong)count;
        _half = (bits + 1) / 2;
        _mask = (1ul << _half) - 1;
        _key = Mixing.Mix(key);
    }

    /// <summary>Where <paramref name="index"/> goes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long At(long index)
    {
        ulong value = (ulong)index;
        do
        {
            ulong left = value >> _half, right = value & _mask;
            for (ulong round = 1; round <= 4; round++)
                (left, right) = (right, left ^ (Mixing.Mix(right + _key + (round << 56)) & _mask));
            value = (left << _half) | right;
        }
        while (value >= _count);
        return (long)value;
    }
}

/// <summary>Mixing of 64-bit numbers.</summary>
internal static class Mixing
{
    /// <summary>A bijection in which every input bit changes every output bit with a probability near one half.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong Mix(ulong x)
    {
        x ^= x >> 32;
        x *= 0xE9846AF9B1A615D;
        x ^= x >> 32;
        x *= 0xE9846AF9B1A615D;
        return x ^ (x >> 28);
    }
}
