using Archipelago.Conformance.Tests.Harness;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Runtime.Tests.Routing;

/// <summary>Requests between reactors, each in a segment joined by itself, as processes would be.</summary>
public sealed class RoutingTests : IDisposable
{
    private readonly string _directory = $"/dev/shm/archipelago-test-{Guid.NewGuid():N}";
    private readonly List<HostThread> _hosts = [];
    private readonly HostThread _client;
    private PeerContext _context = null!;

    public RoutingTests()
    {
        using (Segment.Create(_directory, new SegmentOptions { Ports = 6, SlotsPerPort = 64, Pages = 256, Prefault = false })) { }
        _client = NewHost("client");
        _client.Run(async () => _context = await _client.Host.StartAsync(new PeerPlan { Name = "client", Peer = new Recorder(), Transient = true }));
    }

    public void Dispose()
    {
        _hosts.ForEach(host => host.Kill());
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public void A_request_goes_over_the_rings_and_comes_back()
    {
        Serve("server", "route", new Recorder());
        for (ulong i = 0; i < 300; i++) Assert.Equal((0, i + 1), Do(XsegOp.Info, i));
        Assert.Equal(XsegErrno.ENOTSUP, Do(XsegOp.Delete, 0).Status);
    }

    [Fact]
    public void More_requests_than_slots_are_answered_all()
    {
        Serve("server", "route", new Recorder());
        var answers = Enumerable.Range(0, 500).Select(i => Issue(XsegOp.Info, (ulong)i)).ToArray();
        for (int i = 0; i < answers.Length; i++) Assert.Equal((0, (ulong)i + 1), HostThread.Wait(answers[i]));
    }

    [Fact]
    public void A_peer_of_the_same_reactor_is_called()
    {
        var local = new Recorder();
        _client.Run(() => _client.Host.StartAsync(new PeerPlan { Name = "server", Peer = local, Serves = "route" }));
        Assert.Equal((0, 5ul), Do(XsegOp.Info, 4));
        Assert.Equal(0ul, _client.Run(() => Task.FromResult(_context.Port.Servers)));
        var held = Issue(XsegOp.Truncate, 8);
        Assert.Equal((0, 2ul), Do(XsegOp.Info, 1));
        Assert.False(held.IsCompleted);
        _client.Run(local.ReleaseAll);
        Assert.Equal((0, 9ul), HostThread.Wait(held));
    }

    [Fact]
    public void A_request_passes_through_a_peer_in_the_middle()
    {
        Serve("end", "next", new Recorder());
        Serve("middle", "route", new Recorder());
        Assert.Equal((0, 70ul), Do(XsegOp.Hash, 6));
    }

    [Fact]
    public void A_second_answer_to_one_request_is_not_taken_for_the_answer_to_the_next()
    {
        using var segment = Segment.Join(_directory);
        using var server = Port.Bind(segment, new PortOptions { Name = "faulty.0" });
        RouteTable.Set(segment, "route"u8, server.Number, 1);
        var freed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var first = _client.Start(async () =>
        {
            var request = await _context.AllocateAsync();
            _context.Port.Prepare(request, XsegOp.Info, 0, "target"u8, Hash128.Of("target"u8), 0, 0);
            int status = await _context.OpenRoute("route").SubmitAsync(request);
            await freed.Task;
            _context.Free(request);
            return status;
        });
        var accepted = Next(server);
        ulong running = accepted.Word.Value;
        for (int i = 0; i < 3; i++)
        {
            server.Reply(accepted, XsegErrno.EIO);
            server.Kick();
            Assert.True(SpinWait.SpinUntil(() => accepted.Word.State == SlotState.Owned, TimeSpan.FromSeconds(60)));
            SetWord(accepted, running);
        }

        SetWord(accepted, new SlotWord(SlotState.Owned, _client.Run(() => Task.FromResult(_context.Port.Number)), accepted.Generation).Value);
        freed.SetResult();
        Assert.Equal(XsegErrno.EIO, HostThread.Wait(first));
        var second = Issue(XsegOp.Info, 1);
        var next = Next(server);
        Assert.Equal(accepted.Slot, next.Slot);
        Assert.False(second.IsCompleted);
        server.Reply(next, 0);
        server.Kick();
        Assert.Equal(0, HostThread.Wait(second).Status);
    }

    private static unsafe void SetWord(in Request of, ulong word) => Volatile.Write(ref of.Pointer->Word, word);

    private static Request Next(Port server)
    {
        Request accepted = default;
        Assert.True(SpinWait.SpinUntil(() => server.Clients() != 0 && TryAccept(server, out accepted), TimeSpan.FromSeconds(60)));
        return accepted;
    }

    private static bool TryAccept(Port server, out Request accepted)
    {
        for (int client = 0; client < server.Segment.PortCount; client++)
        {
            if (!server.TryAccept(client, out accepted)) continue;
            server.EndBatch(client);
            return true;
        }

        accepted = default;
        return false;
    }

    [Fact]
    public void A_request_waits_for_a_server_that_starts_later()
    {
        var early = Enumerable.Range(0, 10).Select(i => Issue(XsegOp.Info, (ulong)i)).ToArray();
        var server = new Recorder();
        Serve("server", "route", server);
        for (int i = 0; i < early.Length; i++) Assert.Equal((0, (ulong)i + 1), HostThread.Wait(early[i]));
        Assert.Equal(Enumerable.Range(0, 10).Select(i => (ulong)i), server.Seen.Select(seen => seen.Offset));
    }

    [Fact]
    public void A_successor_replays_what_the_dead_server_had_accepted_and_then_takes_what_waits()
    {
        var first = new Recorder();
        var host = Serve("server", "route", first);
        Assert.Equal((0, 101ul), Do(XsegOp.Info, 100));
        var held = Enumerable.Range(0, 8).Select(i => Issue(XsegOp.Truncate, (ulong)i)).ToArray();
        Assert.True(SpinWait.SpinUntil(() => first.Count == 9, TimeSpan.FromSeconds(60)));
        host.Kill();
        var queued = Issue(XsegOp.Info, 50);
        Assert.All(held, task => Assert.False(task.IsCompleted));

        var second = new Recorder();
        host = Serve("server", "route", second);
        Assert.Equal((0, 51ul), HostThread.Wait(queued));
        host.Run(second.ReleaseAll);
        for (int i = 0; i < held.Length; i++) Assert.Equal((0, (ulong)i + 1), HostThread.Wait(held[i]));
        Assert.Equal(Enumerable.Range(0, 8).Select(i => (XsegOp.Truncate, (ulong)i, 1)).Append((XsegOp.Info, 50ul, 0)), second.Seen);
    }

    [Fact]
    public void A_request_whose_holder_dies_three_times_fails()
    {
        var held = default(Task<(int, ulong)>);
        for (int life = 0; life < 3; life++)
        {
            var server = new Recorder();
            var host = Serve("server", "route", server);
            held ??= Issue(XsegOp.Truncate, 1);
            Assert.True(SpinWait.SpinUntil(() => server.Count == 1, TimeSpan.FromSeconds(60)));
            host.Kill();
        }

        Serve("server", "route", new Recorder());
        Assert.Equal(XsegErrno.EIO, HostThread.Wait(held!).Item1);
        Assert.Equal((0, 3ul), Do(XsegOp.Info, 2));
    }

    [Fact]
    public void What_a_dead_client_had_asked_is_dropped_and_its_port_can_be_bound_again()
    {
        var server = new Recorder();
        var host = Serve("server", "route", server);
        var other = NewHost("other");
        PeerContext context = null!;
        other.Run(async () => context = await other.Host.StartAsync(new PeerPlan { Name = "other", Peer = new Recorder() }));
        var lost = Enumerable.Range(0, 3).Select(i => other.Start(() => IssueAsync(context, XsegOp.Truncate, (ulong)i))).ToArray();
        Assert.True(SpinWait.SpinUntil(() => server.Count == 3, TimeSpan.FromSeconds(60)));
        other.Kill();

        var successor = NewHost("other");
        var started = successor.Start(() => successor.Host.StartAsync(new PeerPlan { Name = "other", Peer = new Recorder() }));
        // Fenced: not before those that a living server runs are answered.
        Assert.Equal((0, 2ul), Do(XsegOp.Info, 1));
        Assert.False(started.IsCompleted);
        host.Run(server.ReleaseAll);
        context = HostThread.Wait(started);
        Assert.Equal((0, 8ul), successor.Run(() => IssueAsync(context, XsegOp.Info, 7)));
        Assert.All(lost, task => Assert.False(task.IsCompleted));
    }

    private HostThread NewHost(string name)
    {
        var host = new HostThread(_directory, name);
        _hosts.Add(host);
        return host;
    }

    private HostThread Serve(string name, string route, Peer peer)
    {
        var host = NewHost(name);
        host.Run(() => host.Host.StartAsync(new PeerPlan { Name = name, Peer = peer, Serves = route }));
        return host;
    }

    private (int Status, ulong Serviced) Do(XsegOp op, ulong offset) => HostThread.Wait(Issue(op, offset));

    private Task<(int Status, ulong Serviced)> Issue(XsegOp op, ulong offset) => _client.Start(() => IssueAsync(_context, op, offset));

    private static async Task<(int, ulong)> IssueAsync(PeerContext context, XsegOp op, ulong offset)
    {
        var request = await context.AllocateAsync();
        context.Port.Prepare(request, op, 1, "x"u8, Hash128.Of("x"u8), offset, 0);
        int status = await context.OpenRoute("route").SubmitAsync(request);
        ulong serviced = request.Serviced;
        context.Free(request);
        return (status, serviced);
    }
}
