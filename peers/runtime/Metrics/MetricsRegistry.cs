using System.Diagnostics.Metrics;
using System.Text;

namespace Archipelago.Runtime.Metrics;

/// <summary>
/// The metrics of a process: makes instruments of the meter <c>Archipelago</c> whose values are read by callbacks when somebody
/// collects, so that the data path only increments plain longs of its own; collects all instruments of that meter, whoever made
/// them; renders them as Prometheus text. Safe for any thread; a collection calls the callbacks on the collecting thread.
/// </summary>
public sealed class MetricsRegistry : IDisposable
{
    /// <summary>The name of the meter.</summary>
    public const string MeterName = "Archipelago";

    /// <summary>The meter that holds <see cref="Latency"/> histograms for OTLP, as counters per bucket.</summary>
    public const string LatencyMeterName = "Archipelago.Latency";

    private readonly MeterListener _listener = new();
    private readonly Lock _collecting = new();
    private readonly Lock _states = new();
    private readonly List<InstrumentState> _instruments = [];
    private readonly LatencySeries _latencies = new();
    private readonly ObservedSeries _observed;
    private long _callbackErrors;

    /// <summary>
    /// A registry. With <paramref name="ownOnly"/> it collects the instruments of its own <see cref="Meter"/> alone: several simulated
    /// hosts in one process have one each.
    /// </summary>
    public MetricsRegistry(bool ownOnly = false)
    {
        Meter = new Meter(MeterName);
        _observed = new ObservedSeries(Meter);
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            bool mine = ReferenceEquals(instrument.Meter, Meter);
            if (mine || (!ownOnly && instrument.Meter.Name == MeterName))
            {
                Begin(instrument, listener);
            }
        };
        _listener.MeasurementsCompleted = (_, state) => End(state);
        _listener.SetMeasurementEventCallback<byte>((_, value, tags, state) => Measure(state, value, tags));
        _listener.SetMeasurementEventCallback<short>((_, value, tags, state) => Measure(state, value, tags));
        _listener.SetMeasurementEventCallback<int>((_, value, tags, state) => Measure(state, value, tags));
        _listener.SetMeasurementEventCallback<long>((_, value, tags, state) => Measure(state, value, tags));
        _listener.SetMeasurementEventCallback<float>((_, value, tags, state) => Measure(state, value, tags));
        _listener.SetMeasurementEventCallback<double>((_, value, tags, state) => Measure(state, value, tags));
        _listener.SetMeasurementEventCallback<decimal>((_, value, tags, state) => Measure(state, (double)value, tags));
        _listener.Start();
        Counter("metrics.callback.errors", "{error}", "Callbacks of metrics that failed while they were collected.", () => Interlocked.Read(ref _callbackErrors));
    }

    /// <summary>The meter, for instruments that are not made here.</summary>
    public Meter Meter { get; }

    /// <summary>
    /// A count that only rises, read by a callback. Calls with the same name and other tags add series to the same instrument.
    /// </summary>
    /// <param name="name">Lower case with dots: <c>cached.hits</c>. Prometheus shows <c>archipelago_cached_hits_total</c>.</param>
    /// <param name="unit">UCUM: <c>By</c>, <c>s</c>, or an annotation such as <c>{request}</c>.</param>
    /// <param name="description">One sentence.</param>
    /// <param name="read">Called when metrics are collected, by any thread; must not block.</param>
    /// <param name="tags">The labels.</param>
    /// <returns>Removes the series when disposed.</returns>
    public IDisposable Counter(
        string name, string? unit, string description, Func<long> read, params KeyValuePair<string, object?>[] tags) =>
        _observed.Add(name, unit, description, isCounter: true, () => read(), tags);

    /// <summary>A value that rises and falls, read by a callback; else as <see cref="Counter"/>.</summary>
    public IDisposable Gauge(
        string name, string? unit, string description, Func<double> read, params KeyValuePair<string, object?>[] tags) =>
        _observed.Add(name, unit, description, isCounter: false, read, tags);

    /// <summary>
    /// Shows a latency histogram as <c>archipelago_NAME_seconds</c>, with a bucket per power of two from 256 ns to 69 s. A bucket's
    /// <c>le</c> is 2^k ns and counts what is less; histograms of equal name and tags (of several shards) add up.
    /// </summary>
    /// <returns>Removes the histogram when disposed.</returns>
    public IDisposable Latency(
        string name, string description, LatencyHistogram histogram, params KeyValuePair<string, object?>[] tags) =>
        _latencies.Add(name, description, histogram, tags);

    /// <summary>All metrics in the Prometheus text format 0.0.4.</summary>
    public string RenderPrometheus()
    {
        var families = new SortedDictionary<string, MetricFamily>(StringComparer.Ordinal);
        lock (_collecting)
        {
            InstrumentState[] instruments = Instruments();
            Array.ForEach(instruments, i => i.BeginCollection());
            try
            {
                _listener.RecordObservableInstruments();
            }
            catch (AggregateException e)
            {
                // One peer's broken callback must not take the others' metrics away.
                Interlocked.Add(ref _callbackErrors, e.InnerExceptions.Count);
            }

            foreach (InstrumentState state in Instruments())
            {
                if (Family(families, state.Family, state.Type, state.Instrument.Description) is { } family)
                {
                    state.AddTo(family);
                }
            }
        }

        _latencies.AddTo((name, help) => Family(families, name, FamilyType.Histogram, help));
        var page = new StringBuilder(16 << 10);
        foreach (MetricFamily family in families.Values)
        {
            family.Render(page);
        }

        return page.ToString();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _listener.Dispose();
        _latencies.Dispose();
        Meter.Dispose();
    }

    private static MetricFamily? Family(
        SortedDictionary<string, MetricFamily> families, string name, FamilyType type, string? help)
    {
        if (!families.TryGetValue(name, out MetricFamily? family))
        {
            family = new MetricFamily(name, type, string.IsNullOrEmpty(help) ? "No description." : help);
            families.Add(name, family);
        }

        // Two instruments of one name and different types: a page may hold one of them only.
        return family.Type == type ? family : null;
    }

    private static void Measure(object? state, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
        ((InstrumentState)state!).Measure(value, tags);

    private InstrumentState[] Instruments()
    {
        lock (_states)
        {
            return [.. _instruments];
        }
    }

    private void Begin(Instrument instrument, MeterListener listener)
    {
        (FamilyType type, bool accumulates) =
            Kind<long>(instrument) ?? Kind<double>(instrument) ?? Kind<int>(instrument) ?? Kind<float>(instrument)
            ?? Kind<short>(instrument) ?? Kind<byte>(instrument) ?? Kind<decimal>(instrument) ?? (FamilyType.Gauge, false);
        var state = new InstrumentState(instrument, type, accumulates);
        lock (_states)
        {
            _instruments.Add(state);
        }

        listener.EnableMeasurementEvents(instrument, state);
    }

    private static (FamilyType Type, bool Accumulates)? Kind<T>(Instrument instrument)
        where T : struct => instrument switch
        {
            Counter<T> => (FamilyType.Counter, true),
            ObservableCounter<T> => (FamilyType.Counter, false),
            Histogram<T> => (FamilyType.Histogram, false),
            UpDownCounter<T> => (FamilyType.Gauge, true),
            Gauge<T> or ObservableGauge<T> or ObservableUpDownCounter<T> => (FamilyType.Gauge, false),
            _ => null,
        };

    private void End(object? state)
    {
        lock (_states)
        {
            _instruments.Remove((InstrumentState)state!);
        }
    }
}
