using System.Buffers;
using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;
using Spectre.Console;

namespace Archipelago.Cli.CommandLine;

/// <summary>One call of a command: what was given, and where output goes. Data to standard output, all else to standard error.</summary>
internal sealed class Invocation(CliCommand command, ParseResult parsed)
{
    /// <summary>The command.</summary>
    internal CliCommand Command => command;
    /// <summary>Machine-readable output is wanted.</summary>
    internal bool Json => Has("--json");

    internal bool Has(string option) => parsed.GetResult(option) is not null && Array.Exists(command.Options, o => o.Name == option) && parsed.GetValue<bool>(option);

    internal string? Get(string option) => parsed.GetValue<string?>(option);

    internal IReadOnlyList<string> All(string option) => parsed.GetValue<string[]>(option) ?? [];

    internal string Argument(string name) => parsed.GetValue<string?>(name) ?? "";

    internal IReadOnlyList<string> Arguments(string name) => parsed.GetValue<string[]>(name) ?? [];

    /// <summary>An option read as a value of a configuration would be.</summary>
    /// <exception cref="UsageException">It is not of its type.</exception>
    internal T Get<T>(string option, OptionType<T> type, T otherwise)
    {
        if (Get(option) is not { } text) return otherwise;
        return type.TryParse(text, Environment.CurrentDirectory, out T value, out string? why) ? value
            : throw new UsageException($"{option}: expected {type.Expected}, found {why ?? ConfigError.Quote(text)}");
    }

    /// <summary>The same for an argument.</summary>
    internal T Argument<T>(string name, OptionType<T> type)
    {
        string text = Argument(name);
        return type.TryParse(text, Environment.CurrentDirectory, out T value, out string? why) ? value
            : throw new UsageException($"{name}: expected {type.Expected}, found {why ?? ConfigError.Quote(text)}");
    }

    internal static void Write(string line) => Console.Out.WriteLine(line);

    internal static void Note(string line) => Console.Error.WriteLine(line);

    /// <summary>JSON for programs, which people read, too: a <c>+</c> stays one, and is no <c>\u002B</c>. What controls a terminal stays escaped.</summary>
    internal static void WriteJson<T>(T value, JsonTypeInfo<T> type)
    {
        var bytes = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(bytes, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            JsonSerializer.Serialize(writer, value, type);
        Console.Out.WriteLine(Encoding.UTF8.GetString(bytes.WrittenSpan));
    }

    /// <summary>A table without frames: readable, and to be cut by awk. An empty cell is a dash. A head with <c>&gt;</c> in front is that of a
    /// column of numbers, one with <c>~</c> of one that is broken where a terminal is too narrow.</summary>
    internal static void WriteTable(string[] heads, IEnumerable<string[]> rows)
    {
        var table = new Table().Border(TableBorder.None);
        foreach (string head in heads)
        {
            var column = new TableColumn(new Text(head.TrimStart('>', '~'), new Style(decoration: Decoration.Bold))).PadLeft(0).PadRight(2);
            column.NoWrap = !head.StartsWith('~');
            table.AddColumn(head.StartsWith('>') ? column.RightAligned() : column);
        }

        foreach (string[] row in rows) table.AddRow(row.Select(cell => new Text(cell.Length == 0 ? "-" : cell)));
        Terminal().Write(table);
    }

    /// <summary>Two columns, names and values.</summary>
    internal static void WriteFields(params IEnumerable<(string Name, string Value)> fields)
    {
        int width = fields.Max(f => f.Name.Length) + 2;
        foreach ((string name, string value) in fields) Write(name.PadRight(width) + (value.Length == 0 ? "-" : value));
    }

    /// <summary>A terminal for output; a pipe gets long lines instead of broken ones.</summary>
    internal static IAnsiConsole Terminal(bool error = false)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(error ? Console.Error : Console.Out),
            Ansi = (error ? Console.IsErrorRedirected : Console.IsOutputRedirected) ? AnsiSupport.No : AnsiSupport.Detect,
            Interactive = InteractionSupport.No,
        });
        if (error ? Console.IsErrorRedirected : Console.IsOutputRedirected) console.Profile.Width = 400;
        return console;
    }

    /// <summary>A size for people: <c>256 MiB</c>.</summary>
    internal static string Size(double bytes)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        int unit = 0;
        for (; Math.Abs(bytes) >= 1024 && unit < units.Length - 1; unit++) bytes /= 1024;
        return string.Create(CultureInfo.InvariantCulture, $"{bytes:0.##} {units[unit]}");
    }

    internal static string Number(double value, string format = "#,0") => value.ToString(format, CultureInfo.InvariantCulture);

    /// <summary>How many of something: <c>1 volume</c>, <c>2 volumes</c>.</summary>
    internal static string Count(double value, string what) => $"{Number(value)} {what}{(value == 1 ? "" : "s")}";

    /// <summary>A duration in nanoseconds for people.</summary>
    internal static string Nanoseconds(double value) => value switch
    {
        < 1e3 => Number(value, "0") + " ns",
        < 1e6 => Number(value / 1e3, "0.##") + " µs",
        < 1e9 => Number(value / 1e6, "0.##") + " ms",
        _ => Number(value / 1e9, "0.##") + " s",
    };
}

/// <summary>The command line is wrong (exit code 2).</summary>
internal sealed class UsageException(string message) : ErrnoException(Runtime.Errno.EINVAL, message);
