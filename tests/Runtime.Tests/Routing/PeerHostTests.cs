using Archipelago.Conformance.Tests.Harness;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;

namespace Archipelago.Runtime.Tests.Routing;

public sealed class PeerHostTests : IDisposable
{
    private readonly string _directory = $"/dev/shm/archipelago-test-{Guid.NewGuid():N}";
    private readonly HostThread _host;
    private readonly List<string> _stopped = [];

    public PeerHostTests()
    {
        using (Segment.Create(_directory, new SegmentOptions { Ports = 4, SlotsPerPort = 64, Pages = 128, Prefault = false })) { }
        _host = new HostThread(_directory, "host");
    }

    public void Dispose()
    {
        _host.Kill();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public void Peers_stop_from_the_last_started_to_the_first_and_give_their_ports_back()
    {
        foreach (string name in (string[])["blocker", "cache", "gateway"]) Start(name);
        Assert.Equal(["blocker", "cache", "gateway"], _host.Host.Peers.Select(peer => peer.Plan.Name));
        Stop();
        Assert.Equal(["gateway", "cache", "blocker"], _stopped);
        Assert.Empty(_host.Host.Peers);
        Segment.Destroy(_directory);
        Directory.CreateDirectory(_directory);
    }

    [Fact]
    public void A_peer_that_cannot_stop_goes_on_with_those_below_it()
    {
        Start("blocker");
        var cache = Start("cache");
        Start("gateway");
        cache.StopFault = new ErrnoException(Errno.EIO, "dirty");
        Assert.Equal("dirty", Assert.Throws<ErrnoException>(Stop).Message);
        Assert.Equal(["gateway", "cache"], _stopped);
        Assert.Equal(["blocker", "cache"], _host.Host.Peers.Select(peer => peer.Plan.Name));
        cache.StopFault = null;
        Stop();
        Assert.Equal(["gateway", "cache", "cache", "blocker"], _stopped);
    }

    [Fact]
    public void A_peer_that_cannot_start_leaves_its_port_to_the_next()
    {
        int watches = _host.Reactor.Watches;
        for (int attempt = 0; attempt < 10; attempt++)
            Assert.Throws<ErrnoException>(() => Start("peer", new ErrnoException(Errno.ENOENT, "no directory")));
        Assert.Equal(watches, _host.Reactor.Watches);
        Start("peer");
        Assert.Single(_host.Host.Peers);
        Stop();
        Assert.Equal(watches, _host.Reactor.Watches);
    }

    [Fact]
    public void A_name_that_a_living_process_has_is_refused()
    {
        Start("peer");
        using var other = new HostThread(_directory, "other");
        var refused = Assert.Throws<XsegException>(() => other.Run(() => other.Host.StartAsync(new PeerPlan { Name = "peer", Peer = new Recorder() })));
        Assert.Equal(XsegErrno.EBUSY, refused.Errno);
        Assert.Contains(Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture), refused.Message);
    }

    private Recorder Start(string name, Exception? fault = null)
    {
        var peer = new Recorder(name, _stopped) { StartFault = fault };
        _host.Run(() => _host.Host.StartAsync(new PeerPlan { Name = name, Peer = peer, Serves = name }));
        return peer;
    }

    private void Stop() => _host.Run(async () =>
    {
        await _host.Host.StopAsync();
        return true;
    });
}
