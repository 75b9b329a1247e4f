using System.Numerics;

namespace Archipelago.Runtime.Metrics;

/// <summary>
/// Latencies in nanoseconds in a fixed log-linear array: 16 steps per power of two, so that a percentile is at most 6.25 % off, from
/// 1 ns to 292 years in 7.5 KiB. <see cref="Record"/> is for one writing thread and costs a few plain instructions: no lock, no
/// interlocked operation, no allocation. Any thread may take a <see cref="Snapshot"/> at any time; it is consistent in itself up to
/// the few values that are recorded while it is taken.
/// </summary>
public sealed class LatencyHistogram
{
    internal const int SubBits = 4;
    internal const int SubBuckets = 1 << SubBits;

    /// <summary>The number of buckets.</summary>
    public const int Buckets = (64 - SubBits) * SubBuckets;

    private readonly long[] _counts = new long[Buckets];
    private long _sum;
    private long _max;

    /// <summary>Adds a value in nanoseconds; a negative one counts as 0. The writing thread only.</summary>
    public void Record(long nanoseconds)
    {
        long value = Math.Max(nanoseconds, 0);
        ref long count = ref _counts[IndexOf(value)];
        Volatile.Write(ref count, count + 1);
        Volatile.Write(ref _sum, _sum + value);
        if (value > _max)
        {
            Volatile.Write(ref _max, value);
        }
    }

    /// <summary>
    /// Empties it. The writing thread only; another one that wants the values of an interval takes a snapshot at either end and
    /// subtracts (<see cref="LatencySnapshot.Since"/>).
    /// </summary>
    public void Reset()
    {
        for (int i = 0; i < _counts.Length; i++)
        {
            Volatile.Write(ref _counts[i], 0);
        }

        Volatile.Write(ref _sum, 0);
        Volatile.Write(ref _max, 0);
    }

    /// <summary>A copy. Any thread.</summary>
    public LatencySnapshot Snapshot()
    {
        long[] counts = new long[Buckets];
        for (int i = 0; i < counts.Length; i++)
        {
            counts[i] = Volatile.Read(ref _counts[i]);
        }

        return new LatencySnapshot(counts, Volatile.Read(ref _sum), Volatile.Read(ref _max));
    }

    internal static int IndexOf(long value)
    {
        if (value < SubBuckets)
        {
            return (int)value;
        }

        int shift = BitOperations.Log2((ulong)value) - SubBits;
        return ((shift + 1) << SubBits) + ((int)(value >> shift) & (SubBuckets - 1));
    }

    /// <summary>The least value of a bucket.</summary>
    internal static long LowerBound(int index)
    {
        if (index < SubBuckets)
        {
            return index;
        }

        int shift = (index >> SubBits) - 1;
        return (long)(SubBuckets + (index & (SubBuckets - 1))) << shift;
    }

    /// <summary>The greatest value of a bucket.</summary>
    internal static long UpperBound(int index) => index == Buckets - 1 ? long.MaxValue : LowerBound(index + 1) - 1;
}
