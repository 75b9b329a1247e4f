namespace Archipelago.Runtime.Metrics;

/// <summary>What a <see cref="LatencyHistogram"/> held at one moment. Immutable. All values in nanoseconds.</summary>
public sealed class LatencySnapshot
{
    private readonly long[] _counts;

    internal LatencySnapshot(long[] counts, long sum, long max)
    {
        _counts = counts;
        Sum = sum;
        Max = max;
        foreach (long count in counts)
        {
            Count += count;
        }
    }

    /// <summary>One without values, to merge into.</summary>
    public static LatencySnapshot Empty { get; } = new(new long[LatencyHistogram.Buckets], 0, 0);

    /// <summary>How many values.</summary>
    public long Count { get; }

    /// <summary>Their sum.</summary>
    public long Sum { get; }

    /// <summary>The greatest one; after <see cref="Since"/> the upper bound of its bucket, at most 6.25 % more.</summary>
    public long Max { get; }

    /// <summary>Their mean, 0 if there are none.</summary>
    public double Mean => Count == 0 ? 0 : (double)Sum / Count;

    /// <summary>
    /// The value that <paramref name="percent"/> (0 to 100, for example 99.99) of the values do not exceed (nearest rank), as the upper
    /// bound of its bucket and never more than <see cref="Max"/>: at least the true one, at most 6.25 % more. 0 if there are no values.
    /// </summary>
    public long Percentile(double percent)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(percent);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(percent, 100);
        if (Count == 0)
        {
            return 0;
        }

        // Decimal arithmetic: 99.99 % of 10,000 values is rank 9,999, which binary fractions would round up to 10,000.
        long rank = Math.Clamp((long)Math.Ceiling((decimal)percent * Count / 100), 1, Count);
        long seen = 0;
        int index = -1;
        while (seen < rank)
        {
            seen += _counts[++index];
        }

        return Math.Min(LatencyHistogram.UpperBound(index), Math.Max(Max, LatencyHistogram.LowerBound(index)));
    }

    /// <summary>Both together.</summary>
    public LatencySnapshot Merge(LatencySnapshot other)
    {
        long[] counts = new long[LatencyHistogram.Buckets];
        for (int i = 0; i < counts.Length; i++)
        {
            counts[i] = _counts[i] + other._counts[i];
        }

        return new LatencySnapshot(counts, Sum + other.Sum, Math.Max(Max, other.Max));
    }

    /// <summary>
    /// What was added since an earlier snapshot of the same histogram. If it was reset in between, all of this one.
    /// </summary>
    public LatencySnapshot Since(LatencySnapshot earlier)
    {
        long[] counts = new long[LatencyHistogram.Buckets];
        long max = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            counts[i] = _counts[i] - earlier._counts[i];
            if (counts[i] < 0)
            {
                return this;
            }

            max = counts[i] > 0 ? Math.Min(LatencyHistogram.UpperBound(i), Max) : max;
        }

        return new LatencySnapshot(counts, Sum - earlier.Sum, max);
    }

    /// <summary>How many values are less than 2^<paramref name="power"/> ns; exact, since buckets end at powers of two.</summary>
    internal long CountBelowPower(int power)
    {
        int end = LatencyHistogram.IndexOf(1L << power);
        long count = 0;
        for (int i = 0; i < end; i++)
        {
            count += _counts[i];
        }

        return count;
    }
}
