using System.Globalization;
using System.Text;

namespace Archipelago.Runtime.Metrics;

/// <summary>One family of a page under construction: all series of one name. One thread.</summary>
internal sealed class MetricFamily(string name, FamilyType type, string help)
{
    private readonly SortedDictionary<string, double> _values = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, (double[] Bounds, long[] Counts, double Sum)> _histograms = new(StringComparer.Ordinal);

    public string Name => name;

    public FamilyType Type => type;

    /// <summary>Adds to a series; equal labels of several instruments add up.</summary>
    public void Add(string labels, double value) => _values[labels] = _values.GetValueOrDefault(labels) + value;

    /// <summary>Adds to a histogram series. One of other bounds under the same labels cannot be added and is left out.</summary>
    public void Add(string labels, double[] bounds, long[] counts, double sum)
    {
        if (!_histograms.TryGetValue(labels, out (double[] Bounds, long[] Counts, double Sum) held))
        {
            _histograms[labels] = (bounds, [.. counts], sum);
        }
        else if (held.Bounds.AsSpan().SequenceEqual(bounds))
        {
            long[] merged = [.. held.Counts.Zip(counts, (a, b) => a + b)];
            _histograms[labels] = (bounds, merged, held.Sum + sum);
        }
    }

    public void Render(StringBuilder page)
    {
        if (_values.Count == 0 && _histograms.Count == 0)
        {
            return;
        }

        page.Append("# HELP ").Append(name).Append(' ');
        MetricLabels.AppendEscaped(page, help, quotes: false);
        page.Append("\n# TYPE ").Append(name).Append(' ').Append(TypeWord).Append('\n');
        foreach ((string labels, double value) in _values)
        {
            Line(page, "", labels, MetricLabels.Number(value));
        }

        foreach ((string labels, (double[] bounds, long[] counts, double sum)) in _histograms)
        {
            RenderHistogram(page, labels, bounds, counts, sum);
        }
    }

    private string TypeWord => type switch
    {
        FamilyType.Counter => "counter",
        FamilyType.Gauge => "gauge",
        _ => "histogram",
    };

    private void RenderHistogram(StringBuilder page, string labels, double[] bounds, long[] counts, double sum)
    {
        string comma = labels.Length > 0 ? "," : "";
        long total = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            total += counts[i];
            string bound = i < bounds.Length ? MetricLabels.Number(bounds[i]) : "+Inf";
            Line(page, "_bucket", $"{labels}{comma}le=\"{bound}\"", total.ToString(CultureInfo.InvariantCulture));
        }

        Line(page, "_sum", labels, MetricLabels.Number(sum));
        Line(page, "_count", labels, total.ToString(CultureInfo.InvariantCulture));
    }

    private void Line(StringBuilder page, string suffix, string labels, string value)
    {
        page.Append(name).Append(suffix);
        if (labels.Length > 0)
        {
            page.Append('{').Append(labels).Append('}');
        }

        page.Append(' ').Append(value).Append('\n');
    }
}
