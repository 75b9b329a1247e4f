using System.Globalization;
using System.Text.RegularExpressions;

namespace Archipelago.Hosting.Tests;

/// <summary>A strict reader of the Prometheus text format 0.0.4: whatever it does not expect is a failure of the test.</summary>
internal static partial class PrometheusChecker
{
    /// <summary>The samples by name and labels, exactly as they stand there.</summary>
    public static Dictionary<string, double> Check(string page)
    {
        Assert.EndsWith("\n", page, StringComparison.Ordinal);
        var samples = new Dictionary<string, double>();
        var families = new HashSet<string>();
        string family = "", type = "", help = "";
        foreach (string line in page[..^1].Split('\n'))
        {
            if (line.StartsWith("# HELP ", StringComparison.Ordinal))
            {
                help = line.Split(' ')[2];
                Assert.True(families.Add(help), $"{help} twice");
                Assert.Matches(@"^# HELP [a-z_][a-z0-9_]* ([^\\]|\\\\|\\n)+$", line);
                continue;
            }

            if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                Match head = TypeLine().Match(line);
                Assert.True(head.Success, line);
                (family, type) = (head.Groups[1].Value, head.Groups[2].Value);
                Assert.Equal(help, family);
                Assert.Equal(type == "counter", family.EndsWith("_total", StringComparison.Ordinal));
                continue;
            }

            Match sample = SampleLine().Match(line);
            Assert.True(sample.Success, line);
            string name = sample.Groups[1].Value;
            string suffix = name.StartsWith(family, StringComparison.Ordinal) ? name[family.Length..] : "?";
            Assert.True(type == "histogram" ? suffix is "_bucket" or "_sum" or "_count" : suffix == "", line);
            string number = sample.Groups[3].Value;
            double value = number == "+Inf" ? double.PositiveInfinity : double.Parse(number, CultureInfo.InvariantCulture);
            Assert.True(samples.TryAdd(name + sample.Groups[2].Value, value), $"{line} twice");
        }

        CheckHistograms(samples);
        return samples;
    }

    private static void CheckHistograms(Dictionary<string, double> samples)
    {
        var series = samples.Where(s => s.Key.Contains("_bucket{", StringComparison.Ordinal))
            .GroupBy(s => BoundLabel().Replace(s.Key, ""));
        foreach (IGrouping<string, KeyValuePair<string, double>> one in series)
        {
            double bound = double.NegativeInfinity, count = 0;
            foreach ((string key, double value) in one)
            {
                string text = BoundLabel().Match(key).Groups[1].Value;
                double next = text == "+Inf" ? double.PositiveInfinity : double.Parse(text, CultureInfo.InvariantCulture);
                Assert.True(next > bound && value >= count, key);
                (bound, count) = (next, value);
            }

            Assert.Equal(double.PositiveInfinity, bound);
            string total = one.Key.Replace("_bucket{", "_count{", StringComparison.Ordinal).Replace("{}", "", StringComparison.Ordinal);
            Assert.Equal(samples[total], count);
            Assert.Contains(total.Replace("_count", "_sum", StringComparison.Ordinal), samples.Keys);
        }
    }

    [GeneratedRegex(@"^# TYPE ([a-z_][a-z0-9_]*) (counter|gauge|histogram)$")]
    private static partial Regex TypeLine();

    [GeneratedRegex("""^([a-z_][a-z0-9_]*)(\{[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*")*\})? (NaN|[+-]Inf|-?[0-9.]+(?:E[+-]?[0-9]+)?)$""")]
    private static partial Regex SampleLine();

    [GeneratedRegex(",?le=\"([^\"]*)\"")]
    private static partial Regex BoundLabel();
}
