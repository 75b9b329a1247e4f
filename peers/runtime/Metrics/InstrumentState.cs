using System.Diagnostics.Metrics;

namespace Archipelago.Runtime.Metrics;

/// <summary>The Prometheus type of a family.</summary>
internal enum FamilyType
{
    Counter,
    Gauge,
    Histogram,
}

/// <summary>One series of a histogram: counts per bucket, not cumulative.</summary>
internal sealed class HistogramSeries(int bounds)
{
    public long[] Counts { get; } = new long[bounds + 1];

    public double Sum { get; set; }
}

/// <summary>What is known of one instrument. Guarded by its own lock: measurements come from any thread, but not from the data path.</summary>
internal sealed class InstrumentState
{
    /// <summary>More label sets than this are counted together, so that a name from outside cannot fill the memory.</summary>
    public const int MaxSeries = 20_000;

    private const string Overflow = "overflow=\"true\"";

    private static readonly double[] SecondsBounds =
        [1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

    private static readonly double[] PlainBounds =
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216];

    private readonly Dictionary<string, double> _values = new(StringComparer.Ordinal);
    private readonly Dictionary<string, HistogramSeries> _histograms = new(StringComparer.Ordinal);
    private readonly bool _accumulates;

    public InstrumentState(Instrument instrument, FamilyType type, bool accumulates)
    {
        Instrument = instrument;
        Type = type;
        _accumulates = accumulates;
        Family = MetricLabels.FamilyName(instrument.Name, instrument.Unit, type == FamilyType.Counter);
        Bounds = instrument switch
        {
            Histogram<double> { Advice.HistogramBucketBoundaries: { } advised } => [.. advised],
            Histogram<long> { Advice.HistogramBucketBoundaries: { } advised } => [.. advised.Select(b => (double)b)],
            _ => instrument.Unit == "s" ? SecondsBounds : PlainBounds,
        };
    }

    public Instrument Instrument { get; }

    public FamilyType Type { get; }

    public string Family { get; }

    public double[] Bounds { get; }

    public void Measure(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        string labels = MetricLabels.Render(tags);
        lock (_values)
        {
            if (Type == FamilyType.Histogram)
            {
                Observe(value, labels);
                return;
            }

            labels = _values.Count < MaxSeries || _values.ContainsKey(labels) ? labels : Overflow;

            // Several observations of one label set in one collection (a volume on several shards) add up, as those of a counter do.
            bool sums = _accumulates || Instrument.IsObservable;
            _values[labels] = value + (sums ? _values.GetValueOrDefault(labels) : 0);
        }
    }

    /// <summary>Forgets what callbacks reported last, before they report anew: what is gone is gone from the page.</summary>
    public void BeginCollection()
    {
        if (Instrument.IsObservable)
        {
            lock (_values)
            {
                _values.Clear();
            }
        }
    }

    public void AddTo(MetricFamily family)
    {
        lock (_values)
        {
            foreach ((string labels, double value) in _values)
            {
                family.Add(labels, value);
            }

            foreach ((string labels, HistogramSeries series) in _histograms)
            {
                family.Add(labels, Bounds, series.Counts, series.Sum);
            }
        }
    }

    private void Observe(double value, string labels)
    {
        labels = _histograms.Count < MaxSeries || _histograms.ContainsKey(labels) ? labels : Overflow;
        if (!_histograms.TryGetValue(labels, out HistogramSeries? series))
        {
            series = new HistogramSeries(Bounds.Length);
            _histograms.Add(labels, series);
        }

        int index = Array.BinarySearch(Bounds, value);
        series.Counts[index >= 0 ? index : ~index]++;
        series.Sum += value;
    }
}
