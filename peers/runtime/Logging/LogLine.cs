using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Archipelago.Runtime.Logging;

/// <summary>
/// Renders an event as one line, whatever its message and values hold: line breaks and control characters are escaped, so that
/// nobody can forge a line through a volume's name.
/// </summary>
internal static class LogLine
{
    private const string OriginalFormat = "{OriginalFormat}";
    private const string TimeFormat = "yyyy-MM-ddTHH:mm:ss.ffffffZ";

    public static string Level(LogLevel level) => level switch
    {
        LogLevel.Trace => "trace",
        LogLevel.Debug => "debug",
        LogLevel.Information => "info",
        LogLevel.Warning => "warning",
        LogLevel.Error => "error",
        LogLevel.Critical => "critical",
        _ => "none",
    };

    /// <summary>The syslog priority of a level, as sd-daemon(3) has them.</summary>
    public static string Prefix(LogLevel level) => level switch
    {
        LogLevel.Critical => "<2>",
        LogLevel.Error => "<3>",
        LogLevel.Warning => "<4>",
        LogLevel.Information => "<6>",
        _ => "<7>",
    };

    public static string Text(in LogEvent entry)
    {
        var line = new StringBuilder(160)
            .Append(Time(entry.Time)).Append(' ')
            .Append(Level(entry.Level).PadRight(8)).Append(' ')
            .Append(entry.Category).Append(": ");
        Escape(line, entry.Message, inQuotes: false);
        foreach ((string key, object? value) in entry.Values)
        {
            line.Append(' ').Append(TextKey(key)).Append('=');
            AppendTextValue(line, Invariant(value));
        }

        if (entry.Error is not null)
        {
            line.Append(" exception=");
            AppendTextValue(line, entry.Error.ToString());
        }

        return line.ToString();
    }

    public static string Json(in LogEvent entry)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("time", Time(entry.Time));
            json.WriteString("level", Level(entry.Level));
            json.WriteString("category", entry.Category);
            json.WriteString("message", entry.Message);
            var used = new HashSet<string>(StringComparer.Ordinal) { "time", "level", "category", "message", "exception" };
            foreach ((string key, object? value) in entry.Values)
            {
                string name = key;
                while (!used.Add(name))
                {
                    name += "_";
                }

                WriteJsonValue(json, name, value);
            }

            if (entry.Error is not null)
            {
                json.WriteString("exception", entry.Error.ToString());
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <summary>The values of a state or scope, without the template; without <paramref name="all"/> those that the message does not say already.</summary>
    public static void Collect(List<KeyValuePair<string, object?>> values, object? state, bool all)
    {
        if (state is not IEnumerable<KeyValuePair<string, object?>> pairs)
        {
            return;
        }

        string template = all ? "" : pairs.FirstOrDefault(p => p.Key == OriginalFormat).Value as string ?? "";
        foreach (KeyValuePair<string, object?> pair in pairs)
        {
            if (pair.Key != OriginalFormat && !IsIn(template, pair.Key))
            {
                values.Add(pair);
            }
        }
    }

    private static bool IsIn(string template, string key)
    {
        for (int at = template.IndexOf('{'); at >= 0; at = template.IndexOf('{', at + 1))
        {
            ReadOnlySpan<char> rest = template.AsSpan(at + 1);
            if (rest.StartsWith(key, StringComparison.Ordinal) && rest.Length > key.Length && rest[key.Length] is ('}' or ':' or ','))
            {
                return true;
            }
        }

        return false;
    }

    private static string Time(DateTimeOffset time) => time.UtcDateTime.ToString(TimeFormat, CultureInfo.InvariantCulture);

    private static string Invariant(object? value) => value switch
    {
        null => "null",
        bool b => b ? "true" : "false",
        IFormattable f => f.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };

    private static string TextKey(string key) =>
        key.AsSpan().ContainsAny(" =\"\n\r\t") || key.Length == 0 ? "\"" + key.ReplaceLineEndings(" ").Replace('"', '\'') + "\"" : key;

    private static void AppendTextValue(StringBuilder line, string value)
    {
        bool quotes = value.Length == 0 || value.AsSpan().ContainsAny(" =\"\\") || value.AsSpan().ContainsAnyInRange('\0', '\u001f');
        line.Append(quotes ? "\"" : "");
        Escape(line, value, quotes);
        line.Append(quotes ? "\"" : "");
    }

    private static void Escape(StringBuilder line, string text, bool inQuotes)
    {
        foreach (char c in text)
        {
            _ = c switch
            {
                '\n' => line.Append("\\n"),
                '\r' => line.Append("\\r"),
                '\t' => line.Append("\\t"),
                '"' or '\\' when inQuotes => line.Append('\\').Append(c),
                '\u2028' or '\u2029' => line.Append("\\n"),
                _ when char.IsControl(c) => line.Append("\\x").Append(((int)c).ToString("x2", CultureInfo.InvariantCulture)),
                _ => line.Append(c),
            };
        }
    }

    private static void WriteJsonValue(Utf8JsonWriter json, string name, object? value)
    {
        switch (value)
        {
            case null:
                json.WriteNull(name);
                break;
            case bool b:
                json.WriteBoolean(name, b);
                break;
            case int or long or short or byte or sbyte or ushort or uint:
                json.WriteNumber(name, Convert.ToInt64(value, CultureInfo.InvariantCulture));
                break;
            case ulong u:
                json.WriteNumber(name, u);
                break;
            case double d when double.IsFinite(d):
                json.WriteNumber(name, d);
                break;
            case float f when float.IsFinite(f):
                json.WriteNumber(name, f);
                break;
            default:
                json.WriteString(name, Invariant(value));
                break;
        }
    }
}

/// <summary>An event before it becomes a line.</summary>
internal readonly record struct LogEvent(
    DateTimeOffset Time,
    LogLevel Level,
    string Category,
    string Message,
    IReadOnlyList<KeyValuePair<string, object?>> Values,
    Exception? Error);
