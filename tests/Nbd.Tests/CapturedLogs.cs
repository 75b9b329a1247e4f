using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Archipelago.Nbd.Tests;

/// <summary>A line of the log, with the values of its placeholders and when it was written.</summary>
internal sealed record CapturedLine(LogLevel Level, string Text, IReadOnlyDictionary<string, object?> Values, TimeSpan At);

/// <summary>Keeps what is logged.</summary>
internal sealed class CapturedLogs : ILoggerFactory, ILogger
{
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly ConcurrentQueue<CapturedLine> _lines = new();

    internal IReadOnlyCollection<CapturedLine> Lines => _lines;

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public bool IsEnabled(LogLevel logLevel) => true;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        var values = (state as IEnumerable<KeyValuePair<string, object?>>)?.ToDictionary(value => value.Key, value => value.Value);
        _lines.Enqueue(new CapturedLine(logLevel, formatter(state, exception), values ?? [], Stopwatch.GetElapsedTime(_start)));
    }

    public void Dispose()
    {
    }
}
