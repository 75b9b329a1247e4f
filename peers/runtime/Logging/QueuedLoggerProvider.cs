using System.Collections.Concurrent;
using Archipelago.Runtime.Hosting;
using Microsoft.Extensions.Logging;

namespace Archipelago.Runtime.Logging;

/// <summary>
/// Loggers that render an event on the thread that logs and hand the line to a <see cref="LogWriter"/>, so that no thread waits for
/// standard error. As text: the message, then what it does not say, values of scopes last. Times are those of the clock, virtual ones included.
/// </summary>
[ProviderAlias("Archipelago")]
public sealed class QueuedLoggerProvider(LogWriter writer, LogOptions options, IClock clock) : ILoggerProvider, ISupportExternalScope
{
    private readonly ConcurrentDictionary<string, QueuedLogger> _loggers = new(StringComparer.Ordinal);
    private IExternalScopeProvider? _scopes;

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) =>
        _loggers.GetOrAdd(categoryName, static (name, provider) => new QueuedLogger(name, provider), this);

    /// <inheritdoc/>
    public void SetScopeProvider(IExternalScopeProvider scopeProvider) => _scopes = scopeProvider;

    /// <summary>Writes what is queued. The writer stays with whoever made it.</summary>
    public void Dispose() => writer.Flush(TimeSpan.FromSeconds(5));

    private void Emit(LogLevel level, string category, string message, object? state, Exception? error)
    {
        var values = new List<KeyValuePair<string, object?>>();
        // A line for people says each value once; JSON has all of them as members.
        LogLine.Collect(values, state, all: options.Format == LogFormat.Json);
        _scopes?.ForEachScope(static (scope, list) => LogLine.Collect(list, scope, all: true), values);
        var entry = new LogEvent(clock.UtcNow, level, category, message, values, error);
        writer.Post(level, options.Format == LogFormat.Json ? LogLine.Json(entry) : LogLine.Text(entry));
    }

    private sealed class QueuedLogger(string category, QueuedLoggerProvider provider) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => provider._scopes?.Push(state);

        public bool IsEnabled(LogLevel level) => level != LogLevel.None && level >= provider.MinimumLevel;

        public void Log<TState>(LogLevel level, EventId eventId, TState state, Exception? error, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(level))
            {
                provider.Emit(level, category, formatter(state, error), state, error);
            }
        }
    }

    private LogLevel MinimumLevel => options.Level;
}
