using System.Diagnostics.Metrics;

namespace Archipelago.Runtime.Metrics;

/// <summary>Observable instruments that are made on first use and show one value per registered callback.</summary>
internal sealed class ObservedSeries(Meter meter)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Group> _groups = new(StringComparer.Ordinal);

    public IDisposable Add(
        string name, string? unit, string description, bool isCounter, Func<double> read, KeyValuePair<string, object?>[] tags)
    {
        var series = new Series(read, tags);
        lock (_gate)
        {
            if (!_groups.TryGetValue(name, out Group? group))
            {
                group = new Group(isCounter, unit);
                _groups.Add(name, group);
                if (isCounter)
                {
                    meter.CreateObservableCounter(name, group.ObserveCounts, unit, description);
                }
                else
                {
                    meter.CreateObservableGauge(name, group.Observe, unit, description);
                }
            }
            else if (group.IsCounter != isCounter || group.Unit != unit)
            {
                throw new ArgumentException($"metric \"{name}\" is registered with another type or unit", nameof(name));
            }

            return group.Add(series);
        }
    }

    internal sealed record Series(Func<double> Read, KeyValuePair<string, object?>[] Tags);

    private sealed class Group(bool isCounter, string? unit)
    {
        private Series[] _series = [];

        public bool IsCounter => isCounter;

        public string? Unit => unit;

        public Removal Add(Series series)
        {
            lock (this)
            {
                _series = [.. _series, series];
            }

            return new Removal(() => Remove(series));
        }

        public IEnumerable<Measurement<double>> Observe()
        {
            foreach (Series series in Volatile.Read(ref _series))
            {
                yield return new Measurement<double>(series.Read(), series.Tags);
            }
        }

        // Counts stay whole numbers on OTLP.
        public IEnumerable<Measurement<long>> ObserveCounts()
        {
            foreach (Series series in Volatile.Read(ref _series))
            {
                yield return new Measurement<long>((long)series.Read(), series.Tags);
            }
        }

        private void Remove(Series series)
        {
            lock (this)
            {
                _series = [.. _series.Where(s => !ReferenceEquals(s, series))];
            }
        }
    }
}

/// <summary>Runs an action once, when disposed.</summary>
internal sealed class Removal(Action remove) : IDisposable
{
    private Action? _remove = remove;

    public void Dispose() => Interlocked.Exchange(ref _remove, null)?.Invoke();
}
