using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Vlmcd.Tests;

/// <summary>One reactor on its own join of the segment: to all others it is another process, and <see cref="Kill"/> is its kill -9.</summary>
internal sealed class Node : IDisposable
{
    private readonly Thread _thread;
    private readonly List<Peer> _peers = [];
    private bool _ended;

    internal Node(string directory)
    {
        Segment = Segment.Join(directory);
        Reactor = new Reactor(new ReactorOptions { Name = "test", MaximumSpin = TimeSpan.FromMicroseconds(20) });
        Host = new PeerHost(Reactor, Segment, NullLoggerFactory.Instance);
        _thread = new Thread(Reactor.Run, 16 << 20) { IsBackground = true };
        _thread.Start();
    }

    internal Segment Segment { get; }
    internal Reactor Reactor { get; }
    internal PeerHost Host { get; }

    internal T Start<T>(T peer, string name, string? serves, int pages, bool transient = false, bool keepsCachePages = false) where T : Peer
    {
        Run(() => Host.StartAsync(new PeerPlan { Name = name, Peer = peer, Serves = serves, Pages = pages, Transient = transient, KeepsCachePages = keepsCachePages }));
        _peers.Add(peer);
        return peer;
    }

    /// <summary>An orderly end of its peers.</summary>
    internal void Stop()
    {
        Run(async () =>
        {
            await Host.StopAsync();
            return true;
        });
        _peers.Clear();
        Kill();
    }

    internal T Run<T>(Func<Task<T>> work)
    {
        var task = Begin(work);
        if (!task.Wait(TimeSpan.FromSeconds(60))) throw new TimeoutException("the reactor did not finish the work in 60 s");
        return task.GetAwaiter().GetResult();
    }

    internal Task<T> Begin<T>(Func<Task<T>> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Reactor.Post(_ => CompleteAsync(), null);
        return done.Task;

        async void CompleteAsync()
        {
            try
            {
                done.SetResult(await work());
            }
            catch (Exception failed)
            {
                done.SetException(failed);
            }
        }
    }

    internal void Until(Func<bool> holds, string what) => Run(async () =>
    {
        for (int i = 0; !holds(); i++)
        {
            if (i > 30_000) throw new TimeoutException(what);
            await Reactor.Delay(TimeSpan.FromMilliseconds(1));
        }

        return true;
    });

    internal void Kill()
    {
        StopReactor();
        Bury();
    }

    /// <summary>No instruction of it runs any more; the kernel has not yet let its locks go.</summary>
    internal void StopReactor()
    {
        if (_ended) return;
        _ended = true;
        Reactor.Stop();
        _thread.Join();
    }

    internal void Bury()
    {
        foreach (var peer in _peers) peer.Context.Port.Abandon();
        _peers.Clear();
        Segment.Dispose();
    }

    public void Dispose()
    {
        StopReactor();
        Bury();
        Reactor.Dispose();
    }
}
