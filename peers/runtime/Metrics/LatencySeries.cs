using System.Diagnostics.Metrics;
using System.Globalization;

namespace Archipelago.Runtime.Metrics;

/// <summary>
/// The latency histograms of a registry. There is no observable histogram instrument, so that they go to the Prometheus page directly,
/// and to OTLP as three observable counters of a meter of their own, as Prometheus would name them: <c>NAME.bucket</c> with <c>le</c>,
/// <c>NAME.sum</c> and <c>NAME.count</c>.
/// </summary>
internal sealed class LatencySeries : IDisposable
{
    private const int FirstPower = 8;
    private const int LastPower = 36;
    private const double NanosecondsPerSecond = 1e9;

    private static readonly double[] Bounds =
        [.. Enumerable.Range(FirstPower, LastPower - FirstPower + 1).Select(p => (1L << p) / NanosecondsPerSecond)];

    private static readonly string[] BoundTexts = [.. Bounds.Select(MetricLabels.Number)];

    private readonly Lock _gate = new();
    private readonly Meter _meter = new(MetricsRegistry.LatencyMeterName);
    private readonly HashSet<string> _published = new(StringComparer.Ordinal);
    private Entry[] _entries = [];

    public IDisposable Add(string name, string description, LatencyHistogram histogram, KeyValuePair<string, object?>[] tags)
    {
        var entry = new Entry(name, description, histogram, tags, MetricLabels.Render(tags));
        lock (_gate)
        {
            _entries = [.. _entries, entry];
            if (_published.Add(name))
            {
                _meter.CreateObservableCounter($"{name}.bucket", () => ObserveBuckets(name), "{request}", description);
                _meter.CreateObservableCounter($"{name}.sum", () => ObserveSum(name), "s", description);
                _meter.CreateObservableCounter($"{name}.count", () => ObserveCount(name), "{request}", description);
            }
        }

        return new Removal(() => Remove(entry));
    }

    public void AddTo(Func<string, string, MetricFamily?> family)
    {
        foreach (Entry entry in Volatile.Read(ref _entries))
        {
            LatencySnapshot snapshot = entry.Histogram.Snapshot();
            string name = MetricLabels.FamilyName(entry.Name, "s", isCounter: false);
            family(name, entry.Description)?.Add(entry.Labels, Bounds, Counts(snapshot), snapshot.Sum / NanosecondsPerSecond);
        }
    }

    public void Dispose() => _meter.Dispose();

    private static long[] Counts(LatencySnapshot snapshot)
    {
        long[] counts = new long[Bounds.Length + 1];
        long below = 0;
        for (int i = 0; i < Bounds.Length; i++)
        {
            long cumulative = snapshot.CountBelowPower(FirstPower + i);
            counts[i] = cumulative - below;
            below = cumulative;
        }

        counts[^1] = snapshot.Count - below;
        return counts;
    }

    // Several histograms of one name and tags are one series on OTLP too.
    private IEnumerable<(KeyValuePair<string, object?>[] Tags, LatencySnapshot Snapshot)> Merged(string name) =>
        Volatile.Read(ref _entries)
            .Where(e => e.Name == name)
            .GroupBy(e => e.Labels)
            .Select(g => (g.First().Tags, g.Aggregate(LatencySnapshot.Empty, (sum, e) => sum.Merge(e.Histogram.Snapshot()))));

    private IEnumerable<Measurement<long>> ObserveBuckets(string name)
    {
        foreach ((KeyValuePair<string, object?>[] tags, LatencySnapshot snapshot) in Merged(name))
        {
            for (int i = 0; i <= Bounds.Length; i++)
            {
                bool last = i == Bounds.Length;
                long count = last ? snapshot.Count : snapshot.CountBelowPower(FirstPower + i);
                yield return new Measurement<long>(count, [.. tags, new("le", last ? "+Inf" : BoundTexts[i])]);
            }
        }
    }

    private IEnumerable<Measurement<double>> ObserveSum(string name) =>
        Merged(name).Select(m => new Measurement<double>(m.Snapshot.Sum / NanosecondsPerSecond, m.Tags));

    private IEnumerable<Measurement<long>> ObserveCount(string name) =>
        Merged(name).Select(m => new Measurement<long>(m.Snapshot.Count, m.Tags));

    private void Remove(Entry entry)
    {
        lock (_gate)
        {
            _entries = [.. _entries.Where(e => !ReferenceEquals(e, entry))];
        }
    }

    private sealed record Entry(
        string Name, string Description, LatencyHistogram Histogram, KeyValuePair<string, object?>[] Tags, string Labels);
}
