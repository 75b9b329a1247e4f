using Archipelago.Runtime.Hosting;
using Archipelago.Runtime.Metrics;
using Microsoft.Extensions.Logging;

namespace Archipelago.Runtime.Logging;

/// <summary>The logging of a process: its factory and its writer. Dispose last: it writes what is queued.</summary>
public sealed class LoggingSetup : IDisposable
{
    private LoggingSetup(LogWriter writer, ILoggerFactory factory)
    {
        Writer = writer;
        Factory = factory;
    }

    /// <summary>Makes loggers.</summary>
    public ILoggerFactory Factory { get; }

    /// <summary>The queue and its counts.</summary>
    public LogWriter Writer { get; }

    /// <summary>
    /// Logging to a stream, standard error if null. What the web server says about itself is seen from warnings on, or at debug.
    /// </summary>
    public static LoggingSetup Create(LogOptions options, Stream? output = null, IClock? clock = null)
    {
        var writer = new LogWriter(output ?? Console.OpenStandardError(), options);
        ILoggerFactory factory = LoggerFactory.Create(builder => builder
            .SetMinimumLevel(options.Level)
            .AddFilter("Microsoft", options.Level < LogLevel.Warning && options.Level > LogLevel.Debug ? LogLevel.Warning : options.Level)
            .AddProvider(new QueuedLoggerProvider(writer, options, clock ?? SystemClock.Instance)));
        return new LoggingSetup(writer, factory);
    }

    /// <summary>Shows the writer's counts as metrics.</summary>
    public void AddMetrics(MetricsRegistry metrics)
    {
        metrics.Counter("log.dropped", "{event}", "Log events dropped because the queue was full.", () => Writer.Dropped);
        metrics.Counter("log.failed", "{event}", "Log lines that standard error did not take.", () => Writer.Failed);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Factory.Dispose();
        Writer.Dispose();
    }
}
