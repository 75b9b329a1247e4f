using System.Runtime.CompilerServices;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Runtime.Routing;

/// <summary>
/// Where requests for a name go: decided when the peers are started, not when they are written. One reactor's thread.
/// </summary>
public sealed class Route
{
    private const long RetryNanoseconds = 20_000_000;

    private readonly PeerContext _context;
    private readonly byte[] _name;
    private readonly Queue<Request> _waiting = new();
    private Peer? _local;
    private int _port = -1;
    private int _shards;
    private bool _retrying;

    internal Route(PeerContext context, string name)
    {
        (_context, Name) = (context, name);
        _name = System.Text.Encoding.UTF8.GetBytes(name);
    }

    /// <summary>Name of the route.</summary>
    public string Name { get; }

    /// <summary>True once somebody serves, or has served, the route.</summary>
    public bool IsResolved => _port >= 0 || Resolve();

    /// <summary>
    /// Hands over a prepared request and completes with its status when it is answered. The request stays the caller's to free.
    /// Await the result exactly once. While nobody serves the route, the request waits.
    /// </summary>
    public ValueTask<int> SubmitAsync(Request request)
    {
        if (_port < 0 && !Resolve()) return WaitForServer(request);
        if (_local != null)
        {
            _context.Port.MarkRunning(request, _port);
            return Call(_local, request);
        }

        return Send(request);
    }

    /// <summary>A hop within the reactor: a call, counted as what comes over a ring is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ValueTask<int> Call(Peer peer, in Request request)
    {
        var answer = peer.HandleAsync(request);
        if (!answer.IsCompletedSuccessfully) return CountLaterAsync(peer, request, answer);
        int status = answer.Result;
        peer.Context.Statistics.Count(request, status);
        return new ValueTask<int>(status);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private static async ValueTask<int> CountLaterAsync(Peer peer, Request request, ValueTask<int> answer)
    {
        int status = await answer;
        peer.Context.Statistics.Count(request, status);
        return status;
    }

    private ValueTask<int> Send(Request request)
    {
        var answer = _context.Poller.Expect(request);
        int server = _shards == 1 ? _port : _port + (int)(request.Hash.High % (uint)_shards);
        if (_waiting.Count > 0 || !_context.Port.TrySubmit(request, server)) Hold(request);
        return answer;
    }

    private ValueTask<int> WaitForServer(Request request)
    {
        var answer = _context.Poller.Expect(request);
        Hold(request);
        return answer;
    }

    private void Hold(Request request)
    {
        _waiting.Enqueue(request);
        if (_retrying) return;
        _retrying = true;
        _context.Reactor.Schedule(_context.Reactor.Now + RetryNanoseconds, static state => ((Route)state!).Retry(), this);
    }

    private void Retry()
    {
        _retrying = false;
        while (_waiting.Count > 0 && (_port >= 0 || Resolve()))
        {
            var request = _waiting.Peek();
            if (_local != null)
            {
                _waiting.Dequeue();
                _context.Port.MarkRunning(request, _port);
                _context.Poller.Relay(request, Call(_local, request));
                continue;
            }

            int server = _shards == 1 ? _port : _port + (int)(request.Hash.High % (uint)_shards);
            if (!_context.Port.TrySubmit(request, server)) break;
            _waiting.Dequeue();
        }

        if (_waiting.Count > 0) Rearm();
    }

    private void Rearm()
    {
        _retrying = true;
        _context.Reactor.Schedule(_context.Reactor.Now + RetryNanoseconds, static state => ((Route)state!).Retry(), this);
    }

    private bool Resolve()
    {
        if (!RouteTable.TryFind(_context.Segment, _name, out int port, out int shards)) return false;
        (_port, _shards) = (port, shards);
        _local = shards == 1 ? _context.Local[port] : null;
        if (_local == null)
            for (int shard = 0; shard < shards; shard++) _context.Port.Connect(port + shard);
        return true;
    }
}
