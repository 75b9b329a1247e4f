using System.Text;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;

namespace Archipelago.Conformance.Tests.Harness;

/// <summary>How the client reaches the blocker.</summary>
public enum Placement
{
    /// <summary>Two reactors in two joined segments: over rings, as between processes.</summary>
    Ring,
    /// <summary>One reactor: a hop is a call.</summary>
    Call,
}

/// <summary>
/// A blocker in a real segment with a client at its side. <see cref="Start"/> makes the segment under a directory of its own in
/// <c>/dev/shm</c>, hosts the blocker as "blocker" on the route "blocks", and the client. The helper methods may be called from any
/// thread, wait for the answer and return it; <see cref="Issue"/> does not wait. <see cref="Dispose"/> stops everything in order.
/// A blocker that wants more pages or another segment gets them with <see cref="HarnessOptions"/>.
/// </summary>
public sealed class BlockerHarness : IDisposable
{
    private readonly string _directory;
    private readonly Placement _placement;
    private readonly HarnessOptions _options;
    private readonly HostThread _clientHost;
    private readonly Client _client = new();
    private HostThread? _blockerHost;

    private BlockerHarness(Func<Peer>? make, Placement placement, HarnessOptions options)
    {
        (_placement, _options) = (placement, options);
        _directory = Path.Combine("/dev/shm", $"archipelago-test-{Environment.ProcessId}-{Guid.NewGuid():N}");
        using (Segment.Create(_directory, new SegmentOptions { Ports = 4, SlotsPerPort = 256, Flows = 64, Pages = options.BlockerPages + options.ClientPages + 16, Prefault = false })) { }
        _clientHost = new HostThread(_directory, "client");
        try
        {
            if (make != null) StartBlocker(make());
            _clientHost.Run(() => _clientHost.Host.StartAsync(new PeerPlan { Name = "client", Peer = _client, Pages = options.ClientPages, Transient = true }));
        }
        catch
        {
            // A call's blocker that did not start has no thread; a ring's has.
            if (_blockerHost != _clientHost) _blockerHost?.Kill();
            _clientHost.Kill();
            Directory.Delete(_directory, recursive: true);
            throw;
        }
    }

    /// <summary>The blocker that was started last.</summary>
    public Peer Blocker { get; private set; } = null!;

    /// <summary>The segment's directory, for a blocker in another process.</summary>
    public string SegmentDirectory => _directory;

    /// <summary>Starts a blocker and a client; with null no blocker: one may come from another process.</summary>
    public static BlockerHarness Start(Func<Peer>? make, Placement placement = Placement.Ring, HarnessOptions? options = null) =>
        new(make, placement, options ?? new HarnessOptions());

    /// <summary>A name as bytes.</summary>
    public static byte[] Name(string name) => Encoding.UTF8.GetBytes(name);

    /// <summary>Issues a request.</summary>
    public Task<Reply> Issue(Ask ask) => _clientHost.Start(() => _client.IssueAsync(ask));

    /// <summary>Issues several requests in one round of the reactor, in this order.</summary>
    public Task<Reply[]> Issue(params Ask[] asks) => _clientHost.Start(() => Task.WhenAll(asks.Select(_client.IssueAsync).ToArray()));

    /// <summary>Issues a request and waits for the answer.</summary>
    public Reply Do(Ask ask) => HostThread.Wait(Issue(ask));

    /// <summary>WRITE; the status must be 0.</summary>
    public Reply Write(string name, ulong offset, byte[] payload, RequestFlags flags = 0, uint flow = 1) =>
        Good(new Ask(XsegOp.Write, Name(name), offset, (ulong)payload.Length) { Payload = payload, Flags = flags, Flow = flow });

    /// <summary>READ; the status must be 0.</summary>
    public Reply Read(string name, ulong offset, ulong length, bool supplied = false, RequestFlags flags = 0) =>
        Good(new Ask(XsegOp.Read, Name(name), offset, length) { Supplied = supplied, Flags = flags });

    /// <summary>INFO: the size, or null if the object is missing.</summary>
    public ulong? Info(string name)
    {
        var reply = Do(new Ask(XsegOp.Info, Name(name)));
        if (reply.Status == XsegErrno.ENOENT) return null;
        Assert.Equal(0, reply.Status);
        return reply.Serviced;
    }

    /// <summary>An op whose status must be 0.</summary>
    public Reply Good(Ask ask)
    {
        var reply = Do(ask);
        Assert.True(reply.Status == 0, $"{ask.Op} of {ask.Length} bytes at {ask.Offset}: errno {reply.Status}");
        Assert.True(ask.Op is not (XsegOp.Read or XsegOp.Write) || reply.Serviced == ask.Length, $"{ask.Op}: {reply.Serviced} of {ask.Length} bytes");
        return reply;
    }

    /// <summary>An op without data whose status must be 0.</summary>
    public Reply Good(XsegOp op, string name, ulong offset = 0, ulong length = 0, RequestFlags flags = 0, uint flow = 1) =>
        Good(new Ask(op, Name(name), offset, length) { Flags = flags, Flow = flow });

    /// <summary>The status of an op without data.</summary>
    public int Status(XsegOp op, string name, ulong offset = 0, ulong length = 0, RequestFlags flags = 0) =>
        Do(new Ask(op, Name(name), offset, length) { Flags = flags }).Status;

    /// <summary>Says in the flow table that changes of the flow need this lock with this epoch, as whoever opens a volume does.</summary>
    public unsafe void Bind(uint flow, ulong id, ulong epoch)
    {
        using var segment = Segment.Join(_directory);
        segment.FlowAt(flow)->LockId = id;
        segment.FlowAt(flow)->LockEpoch = epoch;
    }

    /// <summary>Runs something on the blocker's reactor.</summary>
    public void OnBlocker(Action work) => _blockerHost!.Run(work);

    /// <summary>Stops the blocker in order; requests wait from here on. Rings only.</summary>
    public void StopBlocker() => _blockerHost!.Stop();

    /// <summary>Lets the blocker die with what it has in hand. Rings only.</summary>
    public void KillBlocker() => _blockerHost!.Kill(Blocker as IDisposable);

    /// <summary>A blocker in the place of one that was stopped or killed: its successor. Rings only.</summary>
    public void StartBlocker(Peer blocker)
    {
        Blocker = blocker;
        _blockerHost = _placement == Placement.Call ? _clientHost : new HostThread(_directory, "blocker");
        _blockerHost.Run(() => _blockerHost.Host.StartAsync(new PeerPlan { Name = "blocker", Peer = blocker, Serves = "blocks", Pages = _options.BlockerPages }));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _clientHost.Stop();
        if (_blockerHost != null && _placement == Placement.Ring && !_blockerHost.Ended) _blockerHost.Stop();
        (Blocker as IDisposable)?.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}

/// <summary>Sizes of the harness's segment.</summary>
public sealed record HarnessOptions
{
    /// <summary>The blocker's share: enough for the loans of a few 4 MiB reads.</summary>
    public int BlockerPages { get; init; } = 3000;
    /// <summary>The client's share.</summary>
    public int ClientPages { get; init; } = 2200;
}
