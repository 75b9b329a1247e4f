using Archipelago.Runtime.Hosting;
using Archipelago.Runtime.Metrics;

namespace Archipelago.Hosting.Tests;

public sealed class LatencyHistogramTests
{
    private static readonly double[] Percents = [0, 1, 25, 50, 90, 95, 99, 99.9, 99.99, 100];

    [Fact]
    public void Buckets_tile_all_values_without_gap_or_overlap()
    {
        Assert.Equal(0, LatencyHistogram.LowerBound(0));
        for (int i = 0; i < LatencyHistogram.Buckets; i++)
        {
            Assert.Equal(i, LatencyHistogram.IndexOf(LatencyHistogram.LowerBound(i)));
            Assert.Equal(i, LatencyHistogram.IndexOf(LatencyHistogram.UpperBound(i)));
        }

        Assert.Equal(LatencyHistogram.Buckets - 1, LatencyHistogram.IndexOf(long.MaxValue));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(10_000)]
    [InlineData(123_457)]
    public void Percentiles_are_those_of_the_sorted_array_within_a_sixteenth(int count)
    {
        var random = new SeededRandom((ulong)count);
        var histogram = new LatencyHistogram();
        long[] values = new long[count];
        for (int i = 0; i < count; i++)
        {
            // From nanoseconds to minutes, as skewed as latencies are.
            values[i] = (long)Math.Exp(random.NextDouble() * 25);
            histogram.Record(values[i]);
        }

        Array.Sort(values);
        LatencySnapshot snapshot = histogram.Snapshot();
        Assert.Equal(values.Sum(), snapshot.Sum);
        Assert.Equal(values[^1], snapshot.Max);
        foreach (double percent in Percents)
        {
            long rank = Math.Clamp((long)Math.Ceiling((decimal)percent * count / 100), 1, count);
            long exact = values[rank - 1];
            long shown = snapshot.Percentile(percent);
            Assert.InRange(shown, exact, exact + (exact / 16));
        }
    }

    [Fact]
    public void Merge_since_and_reset_agree_with_separate_histograms()
    {
        var random = new SeededRandom(3);
        LatencyHistogram first = new(), second = new(), both = new();
        LatencySnapshot before = both.Snapshot();
        for (int i = 0; i < 10_000; i++)
        {
            long value = random.Next(10_000_000);
            (i < 4_000 ? first : second).Record(value);
            both.Record(value);
            before = i == 3_999 ? both.Snapshot() : before;
        }

        LatencySnapshot merged = first.Snapshot().Merge(second.Snapshot());
        LatencySnapshot since = both.Snapshot().Since(before);
        Assert.Equal((10_000, both.Snapshot().Sum, both.Snapshot().Max), (merged.Count, merged.Sum, merged.Max));
        Assert.Equal((6_000, second.Snapshot().Sum), (since.Count, since.Sum));
        foreach (double percent in Percents)
        {
            Assert.Equal(both.Snapshot().Percentile(percent), merged.Percentile(percent));
            long exact = second.Snapshot().Percentile(percent);
            Assert.InRange(since.Percentile(percent), exact, exact + (exact / 16));
        }

        both.Reset();
        Assert.Equal((0, 0, 0), (both.Snapshot().Count, both.Snapshot().Sum, both.Snapshot().Percentile(99)));
        both.Record(-5);
        Assert.Equal((1, 0), (both.Snapshot().Count, both.Snapshot().Max));
        Assert.Equal(1, both.Snapshot().Since(merged).Count);
    }

    [Fact]
    public void Recording_allocates_nothing()
    {
        var histogram = new LatencyHistogram();
        var counter = new PlainCounter();
        histogram.Record(1);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100_000; i++)
        {
            histogram.Record(i * 977L);
            counter.Increment();
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.Equal(100_000, counter.Value);
    }

    [Fact]
    public void A_reader_beside_the_writer_sees_counts_that_only_rise()
    {
        const int Total = 2_000_000;
        var histogram = new LatencyHistogram();
        var writer = new Thread(() =>
        {
            for (int i = 0; i < Total; i++)
            {
                histogram.Record(i & 0xFFFFF);
            }
        });
        writer.Start();
        LatencySnapshot last = LatencySnapshot.Empty;
        while (last.Count < Total)
        {
            LatencySnapshot next = histogram.Snapshot();
            Assert.InRange(next.Count, last.Count, Total);
            Assert.Equal(next.Count - last.Count, next.Since(last).Count);
            last = next;
        }

        writer.Join();
    }
}
