using System.Buffers.Binary;
using System.Numerics;
using System.Security.Cryptography;

namespace Archipelago.Runtime.Hosting;

/// <summary>
/// xoshiro256** (Blackman and Vigna, 2018), its state filled from the seed by SplitMix64. The sequence of a seed is part of the
/// contract: it never changes, so that recorded seeds of failing simulations keep replaying. One thread; allocates nothing.
/// </summary>
public sealed class SeededRandom : IRandom
{
    private const ulong GoldenGamma = 0x9E3779B97F4A7C15;

    private ulong _a;
    private ulong _b;
    private ulong _c;
    private ulong _d;

    /// <summary>The generator of a seed.</summary>
    public SeededRandom(ulong seed)
    {
        Seed = seed;
        _a = SplitMix(ref seed);
        _b = SplitMix(ref seed);
        _c = SplitMix(ref seed);
        _d = SplitMix(ref seed);
    }

    internal SeededRandom(ulong a, ulong b, ulong c, ulong d)
    {
        (_a, _b, _c, _d) = (a, b, c, d);
    }

    /// <summary>The seed, for logs: it replays the sequence.</summary>
    public ulong Seed { get; }

    /// <summary>A generator with a seed from the kernel's randomness, for production.</summary>
    public static SeededRandom FromEntropy()
    {
        Span<byte> seed = stackalloc byte[sizeof(ulong)];
        RandomNumberGenerator.Fill(seed);
        return new SeededRandom(BinaryPrimitives.ReadUInt64LittleEndian(seed));
    }

    /// <inheritdoc/>
    public ulong NextUInt64()
    {
        ulong result = BitOperations.RotateLeft(_b * 5, 7) * 9;
        ulong shifted = _b << 17;
        _c ^= _a;
        _d ^= _b;
        _b ^= _c;
        _a ^= _d;
        _c ^= shifted;
        _d = BitOperations.RotateLeft(_d, 45);
        return result;
    }

    /// <inheritdoc/>
    public long Next(long exclusiveMax)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(exclusiveMax);
        ulong bound = (ulong)exclusiveMax;

        // The high word of a 128-bit product is uniform once the low words that would come up once too often are refused (Lemire).
        ulong high = Math.BigMul(NextUInt64(), bound, out ulong low);
        if (low < bound)
        {
            ulong threshold = (0 - bound) % bound;
            while (low < threshold)
            {
                high = Math.BigMul(NextUInt64(), bound, out low);
            }
        }

        return (long)high;
    }

    /// <inheritdoc/>
    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    /// <inheritdoc/>
    public void Fill(Span<byte> destination)
    {
        while (destination.Length >= sizeof(ulong))
        {
            BinaryPrimitives.WriteUInt64LittleEndian(destination, NextUInt64());
            destination = destination[sizeof(ulong)..];
        }

        if (!destination.IsEmpty)
        {
            Span<byte> last = stackalloc byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64LittleEndian(last, NextUInt64());
            last[..destination.Length].CopyTo(destination);
        }
    }

    /// <inheritdoc/>
    public IRandom Fork(ulong stream)
    {
        // Two rounds keep (seed, stream) pairs that differ by a multiple of the gamma apart.
        ulong state = Seed ^ GoldenGamma;
        ulong mixed = SplitMix(ref state) ^ stream;
        return new SeededRandom(SplitMix(ref mixed));
    }

    internal static ulong SplitMix(ref ulong state)
    {
        ulong z = state += GoldenGamma;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
