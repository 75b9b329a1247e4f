using Archipelago.Runtime.Configuration;
using Microsoft.Extensions.Logging;

namespace Archipelago.Runtime.Logging;

/// <summary>How an event becomes a line.</summary>
public enum LogFormat
{
    /// <summary>Time, level, category, message, <c>key=value</c> pairs.</summary>
    Text,

    /// <summary>One JSON object per line.</summary>
    Json,
}

/// <summary>What is logged and how; the values of the section <c>[log]</c>.</summary>
public sealed record LogOptions
{
    /// <summary>The option <c>level</c>.</summary>
    public static readonly OptionSpec<LogLevel> LevelOption = Option.Choice(
        "level", "info",
        "The least severe level that is logged. trace and debug describe single requests and are meant for a search for a fault: "
        + "under load they fill the queue, and what does not fit is dropped and counted.",
        ("trace", LogLevel.Trace), ("debug", LogLevel.Debug), ("info", LogLevel.Information), ("warning", LogLevel.Warning),
        ("error", LogLevel.Error), ("critical", LogLevel.Critical), ("none", LogLevel.None));

    /// <summary>The option <c>format</c>.</summary>
    public static readonly OptionSpec<LogFormat> FormatOption = Option.Choice(
        "format", "text",
        "How an event is written to standard error. text is one line per event: time in UTC, level, category, message, then the "
        + "event's values as key=value. json is one JSON object per line with the members time, level, category, message, and one for each value.",
        ("text", LogFormat.Text), ("json", LogFormat.Json));

    /// <summary>The option <c>queue-length</c>.</summary>
    public static readonly OptionSpec<long> QueueLengthOption = Option.Integer(
        "queue-length", "8192", 16, 1 << 20,
        "How many events may wait for the thread that writes them. Threads that log never wait for standard error: when the queue "
        + "is full, events are dropped, counted in the metric archipelago_log_dropped_total, and their number is logged as soon as there is room.");

    /// <summary>The table of <c>[log]</c>.</summary>
    public static readonly SectionSpec Section = SectionSpec.Single(
        "log",
        "Logging to standard error, by a thread of its own. Under systemd each line begins with its priority (<N>), so that journalctl -p works.",
        [LevelOption, FormatOption, QueueLengthOption]);

    /// <summary>The least severe level that is logged.</summary>
    public LogLevel Level { get; init; } = LogLevel.Information;

    /// <summary>Text or JSON lines.</summary>
    public LogFormat Format { get; init; }

    /// <summary>Bound of the queue, in events; rounded up to a power of two.</summary>
    public int QueueLength { get; init; } = 8192;

    /// <summary>Whether each line begins with <c>&lt;N&gt;</c>, the syslog priority.</summary>
    public bool PriorityPrefix { get; init; }

    /// <summary>The options of a configuration; the prefix is on if standard error is the journal's.</summary>
    public static LogOptions From(Config config)
    {
        ConfigSection section = config[Section];
        return new LogOptions
        {
            Level = section.Get(LevelOption),
            Format = section.Get(FormatOption),
            QueueLength = (int)section.Get(QueueLengthOption),
            PriorityPrefix = JournalStream.IsStandardError(),
        };
    }
}
