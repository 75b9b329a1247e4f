using System.Runtime.InteropServices;
using Archipelago.Nbd.Core;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Microsoft.Extensions.Logging;

namespace Archipelago.Nbd.Sockets;

/// <summary>
/// The socket transport: listeners, connections, and what these share because only one of them runs at a time. One reactor.
/// </summary>
internal sealed class NbdServer
{
    /// <summary>Buffers in one system call.</summary>
    internal const int MaxVectors = 1024;
    /// <summary>Bytes of <see cref="Scrap"/>.</summary>
    internal const int ScrapSize = 64 << 10;
    private const int MaxIdle = 64;

    private readonly PeerContext _context;
    private readonly List<Connection> _connections = [];
    private readonly Stack<Connection> _idle = new();
    private readonly Stack<NativeBuffer> _buffers = new();
    private readonly Queue<Connection> _active = new();
    private Listener? _unix, _tcp;
    private readonly int _mostFirstSlots;
    private bool _running, _posted, _sweeping, _warned;

    internal unsafe NbdServer(PeerContext context, NbdOptions options)
    {
        (_context, Options) = (context, options);
        _mostFirstSlots = context.Segment.SlotsPerPort / 2;
        Gateway = new Gateway(context, options) { AnswersCame = RunSoon, Congested = Sweep };
        Exports = new ExportTable(context, Gateway.Route, options);
        Vectors = (Libc.IoVector*)NativeMemory.Alloc(MaxVectors, (nuint)sizeof(Libc.IoVector));
        Scrap = (byte*)NativeMemory.Alloc(ScrapSize);
    }

    internal NbdOptions Options { get; }
    internal Gateway Gateway { get; }
    internal ExportTable Exports { get; }
    internal IReactor Reactor => _context.Reactor;
    internal ILogger Log => _context.Log;
    internal int TcpPort => _tcp?.Port ?? 0;
    internal bool IsStopping { get; private set; }

    /// <summary>For the call that runs now.</summary>
    internal unsafe Libc.IoVector* Vectors { get; }
    /// <summary>Where payload goes that nobody wants.</summary>
    internal unsafe byte* Scrap { get; }

    internal void Listen()
    {
        try
        {
            if (Options.SocketPath is { } path) _unix = Listener.Unix(Reactor, path, descriptor => Accept(descriptor, tcp: false));
            if (Options.TcpAddress is { } address)
            {
                _tcp = Listener.Tcp(Reactor, address, descriptor => Accept(descriptor, tcp: true));
                if (!System.Net.IPAddress.IsLoopback(address.Address))
                    Log.LogWarning("NBD on {Address}: the protocol has no authentication; everybody who can connect can read and write all volumes", address);
            }
        }
        catch
        {
            _unix?.Close();
            throw;
        }

        if (_unix != null) Log.LogInformation("NBD on {Path}", Options.SocketPath);
        if (_tcp != null) Log.LogInformation("NBD on {Address}, port {Port}", Options.TcpAddress!.Address, TcpPort);
    }

    internal async Task StopAsync()
    {
        IsStopping = true;
        _unix?.Close();
        _tcp?.Close();
        foreach (var connection in _connections.ToArray()) connection.Stop();
        RunSoon();
        // What is under way ends when the volumes' peers answer; replies that nobody takes do not hold us up.
        long patience = Reactor.Now + 500_000_000;
        while (_connections.Count > 0)
        {
            await Reactor.Delay(TimeSpan.FromMilliseconds(2));
            if (Reactor.Clock.MonotonicNanoseconds < patience) continue;
            foreach (var connection in _connections.ToArray())
                if (connection.OnlyWaitsForClient) connection.Cut("did not take its last replies");
            RunSoon();
        }

        await Exports.SettleAsync();
    }

    /// <summary>Slots that are kept for connections that have nothing under way: one for each, up to half of all.</summary>
    internal int FirstSlots => Math.Min(_connections.Count, _mostFirstSlots);

    /// <summary>Has <paramref name="connection"/> send and read on in this round.</summary>
    internal void Activate(Connection connection)
    {
        if (connection.IsActive) return;
        connection.IsActive = true;
        _active.Enqueue(connection);
    }

    /// <summary>Runs what was activated now, unless that goes on already.</summary>
    internal void Run()
    {
        if (_running) return;
        _running = true;
        while (_active.TryDequeue(out var connection))
        {
            connection.IsActive = false;
            connection.Progress();
        }

        _running = false;
    }

    /// <summary>Runs what was activated in this round, after all others that it may come from.</summary>
    internal void RunSoon()
    {
        if (_posted || _running || _active.Count == 0) return;
        _posted = true;
        Reactor.Post(static state =>
        {
            var server = (NbdServer)state!;
            server._posted = false;
            server.Run();
        }, this);
    }

    internal Control.NbdConnection[] List() => [.. _connections.Select(connection => connection.Describe())];

    internal NativeBuffer TakeBuffer() => _buffers.Count > 0 ? _buffers.Pop() : new NativeBuffer();

    internal void GiveBuffer(NativeBuffer buffer) => _buffers.Push(buffer);

    /// <summary>The connection is closed and nothing of it is under way.</summary>
    internal void Closed(Connection connection)
    {
        _connections.Remove(connection);
        Gateway.Statistics.Connections = _connections.Count;
        if (_idle.Count < MaxIdle) _idle.Push(connection);
        else connection.Dispose();
    }

    /// <summary>A change whose client is lost has ended; after the last one the export's clients are read again.</summary>
    internal void LostChangeEnded(Export export)
    {
        if (--export.LostChanges > 0) return;
        foreach (var connection in _connections) connection.Resume(export);
        RunSoon();
    }

    private void Accept(int descriptor, bool tcp)
    {
        if (_connections.Count >= Options.MaxConnections)
        {
            Gateway.Statistics.Refused++;
            if (!_warned) Log.LogWarning("more than {Max} NBD connections: further ones are closed at once ([nbd] max-connections)", Options.MaxConnections);
            _warned = true;
            _ = Libc.close(descriptor);
            return;
        }

        var connection = _idle.Count > 0 ? _idle.Pop() : new Connection(this);
        _connections.Add(connection);
        Gateway.Statistics.Connections = _connections.Count;
        Gateway.Statistics.Accepted++;
        if (tcp)
        {
            Libc.SetOption(descriptor, Libc.IPPROTO_TCP, Libc.TCP_NODELAY, 1);
            Libc.SetOption(descriptor, Libc.SOL_SOCKET, Libc.SO_KEEPALIVE, 1);
        }

        connection.Open(descriptor);
    }

    /// <summary>Requests wait: looks after connections that hold what they wait for and do nothing.</summary>
    private void Sweep()
    {
        if (_sweeping) return;
        _sweeping = true;
        Reactor.Schedule(Reactor.Now + Options.StallTimeout.Ticks * 25, static state => ((NbdServer)state!).SweepNow(), this);
    }

    private void SweepNow()
    {
        _sweeping = false;
        if (!Gateway.IsCongested) return;
        long before = Reactor.Now - Options.StallTimeout.Ticks * 100;
        foreach (var connection in _connections)
            if (connection.IsStalledSince(before)) connection.Cut("stalled while others wait for slots or pages");
        RunSoon();
        Sweep();
    }
}
