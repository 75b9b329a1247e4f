using Archipelago.Radosd.Librados;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging;

namespace Archipelago.Radosd.Tests;

/// <summary>A radosd on a reactor thread of its own, serving route "blocks" of a segment.</summary>
public sealed class RadosdHost : IDisposable
{
    private readonly Segment _segment;
    private readonly Reactor _reactor = new(new ReactorOptions { Name = "radosd" });
    private readonly Thread _thread;
    private readonly PeerHost _host;

    /// <summary>Throws what the start throws.</summary>
    public RadosdHost(string segment, RadosdOptions options, ILoggerFactory? logs = null, int pages = 2048)
    {
        Peer = new RadosdPeer(options);
        _segment = Segment.Join(segment);
        _thread = new Thread(_reactor.Run);
        _thread.Start();
        _host = new PeerHost(_reactor, _segment, logs ?? Logs);
        try
        {
            Context = On(() => _host.StartAsync(new PeerPlan { Name = "radosd", Peer = Peer, Serves = "blocks", Pages = pages }));
        }
        catch
        {
            End();
            throw;
        }
    }

    public RadosdPeer Peer { get; }

    public PeerContext Context { get; } = null!;

    public CapturedLogs Logs { get; } = new();

    public RadosdStatistics Rados => Peer.Rados;

    /// <summary>Runs something on the reactor and waits for it.</summary>
    public T On<T>(Func<Task<T>> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        _reactor.Post(async void (_) =>
        {
            try
            {
                done.SetResult(await work());
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        }, null);
        return done.Task.WaitAsync(TimeSpan.FromSeconds(60)).GetAwaiter().GetResult();
    }

    public void Dispose()
    {
        On(async () =>
        {
            await _host.StopAsync();
            return 0;
        });
        End();
    }

    private void End()
    {
        _reactor.Stop();
        _thread.Join();
        _reactor.Dispose();
        _segment.Dispose();
    }
}

/// <summary>Keeps what was logged.</summary>
public sealed class CapturedLogs : ILoggerFactory, ILogger
{
    private readonly List<string> _lines = [];

    public string Text
    {
        get
        {
            lock (_lines) return string.Join('\n', _lines);
        }
    }

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (_lines) _lines.Add($"{logLevel}: {formatter(state, exception)}");
    }

    public void Dispose()
    {
    }
}
