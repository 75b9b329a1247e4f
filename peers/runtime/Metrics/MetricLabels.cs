using System.Globalization;
using System.Text;

namespace Archipelago.Runtime.Metrics;

/// <summary>Names, labels and numbers as the Prometheus text format 0.0.4 writes them.</summary>
internal static class MetricLabels
{
    public const string Prefix = "archipelago_";

    /// <summary>
    /// The family's name: prefix, the instrument's name with underscores, its unit in words, and <c>_total</c> for a counter.
    /// <c>cached.hits</c> becomes <c>archipelago_cached_hits_total</c>, <c>segment.free</c> in <c>By</c> <c>archipelago_segment_free_bytes</c>.
    /// </summary>
    public static string FamilyName(string name, string? unit, bool isCounter)
    {
        string family = Identifier(name);
        if (family.StartsWith(Prefix, StringComparison.Ordinal))
        {
            family = family[Prefix.Length..];
        }

        if (family.EndsWith("_total", StringComparison.Ordinal))
        {
            family = family[..^"_total".Length];
        }

        string word = UnitWord(unit);
        bool hasWord = word.Length == 0 || family == word || family.EndsWith("_" + word, StringComparison.Ordinal);
        return Prefix + family + (hasWord ? "" : "_" + word) + (isCounter ? "_total" : "");
    }

    /// <summary>The labels in the order of their names, <c>a="x",b="y"</c>: equal tags in any order give equal texts.</summary>
    public static string Render(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (tags.IsEmpty)
        {
            return "";
        }

        var labels = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (KeyValuePair<string, object?> tag in tags)
        {
            // Colons belong to rules, and a leading __ to Prometheus itself.
            string name = Identifier(tag.Key).Replace(':', '_');
            name = name.StartsWith("__", StringComparison.Ordinal) ? "tag" + name : name;
            string value = tag.Value switch
            {
                null => "",
                bool b => b ? "true" : "false",
                IFormattable f => f.ToString(null, CultureInfo.InvariantCulture),
                object o => o.ToString() ?? "",
            };
            labels[name] = labels.TryGetValue(name, out string? other) ? other + ";" + value : value;
        }

        var text = new StringBuilder();
        foreach ((string name, string value) in labels)
        {
            text.Append(text.Length > 0 ? "," : "").Append(name).Append("=\"");
            AppendEscaped(text, value, quotes: true);
            text.Append('"');
        }

        return text.ToString();
    }

    public static void AppendEscaped(StringBuilder text, string value, bool quotes)
    {
        foreach (char c in value)
        {
            _ = c switch
            {
                '\\' => text.Append("\\\\"),
                '\n' => text.Append("\\n"),
                '"' when quotes => text.Append("\\\""),
                _ => text.Append(c),
            };
        }
    }

    public static string Number(double value) =>
        double.IsPositiveInfinity(value) ? "+Inf"
        : double.IsNegativeInfinity(value) ? "-Inf"
        : double.IsNaN(value) ? "NaN"
        : value.ToString("R", CultureInfo.InvariantCulture);

    private static string UnitWord(string? unit) => unit switch
    {
        null or "" => "",
        "s" => "seconds",
        "By" => "bytes",
        "By/s" => "bytes_per_second",
        "1" => "ratio",
        _ when unit[0] == '{' => "",
        _ => Identifier(unit),
    };

    private static string Identifier(string name)
    {
        char[] letters = name.ToCharArray();
        for (int i = 0; i < letters.Length; i++)
        {
            letters[i] = char.IsAsciiLetterOrDigit(letters[i]) ? letters[i] : '_';
        }

        string text = new(letters);
        return text.Length == 0 || char.IsAsciiDigit(text[0]) ? "_" + text : text;
    }
}
