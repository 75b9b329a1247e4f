using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Conformance.Tests.Harness;

/// <summary>A reactor on a thread of its own, in a segment that it joined by itself, as a process would.</summary>
public sealed class HostThread : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly Segment _segment;
    private readonly Thread _thread;
    private bool _ended;

    /// <summary>Joins and starts.</summary>
    public HostThread(string directory, string name)
    {
        _segment = Segment.Join(directory);
        Reactor = new Reactor(new ReactorOptions { Name = name, Seed = 1 });
        Host = new PeerHost(Reactor, _segment, NullLoggerFactory.Instance);
        _thread = new Thread(Reactor.Run) { Name = name, IsBackground = true };
        _thread.Start();
    }

    /// <summary>Stopped or killed.</summary>
    public bool Ended => _ended;
    /// <summary>The reactor.</summary>
    public Reactor Reactor { get; }
    /// <summary>The host; its methods on the reactor only.</summary>
    public PeerHost Host { get; }

    /// <summary>Starts something on the reactor; its outcome arrives here.</summary>
    public Task<T> Start<T>(Func<Task<T>> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Reactor.Post(async _ =>
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
        return done.Task;
    }

    /// <summary>Runs something on the reactor and waits for it.</summary>
    public T Run<T>(Func<Task<T>> work) => Wait(Start(work));

    /// <summary>Runs something on the reactor and waits for it.</summary>
    public void Run(Action work) => Run(() =>
    {
        work();
        return Task.FromResult(true);
    });

    /// <summary>Waits for an answer, far longer than any may take.</summary>
    public static T Wait<T>(Task<T> task)
    {
        if (!((IAsyncResult)task).AsyncWaitHandle.WaitOne(Patience)) throw new TimeoutException("no answer within 60 s");
        return task.GetAwaiter().GetResult();
    }

    /// <summary>Stops all peers in order, then the reactor.</summary>
    public void Stop()
    {
        Run(async () =>
        {
            await Host.StopAsync();
            return true;
        });
        Kill();
    }

    /// <summary>Ends the thread as a killed process ends: nothing is stopped, the kernel locks are released.</summary>
    public void Kill(params IDisposable?[] itsThreads)
    {
        if (_ended) return;
        _ended = true;
        Reactor.Stop();
        _thread.Join();
        // A process's threads are gone before its locks are.
        foreach (var peer in itsThreads) peer?.Dispose();
        _segment.Dispose();
        Reactor.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose() => Kill();
}
