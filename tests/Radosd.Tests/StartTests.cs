using System.Net;
using System.Net.Sockets;
using Archipelago.Librados.Tests;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Xunit;

namespace Archipelago.Radosd.Tests;

[Collection(MemoryClusterGroup.Name)]
public sealed class StartTests(MemoryCluster cluster)
{
    [Fact]
    public void A_missing_pool_is_an_error_that_says_what_to_do()
    {
        using var place = new Place(cluster);
        place.Options = place.Options with { Pool = "nowhere" };
        var e = Refused(place);
        Assert.Equal(Errno.ENOENT, e.Errno);
        Assert.Contains("'nowhere'", e.Message);
        Assert.Contains("ceph osd pool create", e.Message);
        Assert.Contains("wait = yes", e.Message);
        Assert.False(File.Exists(place.StatePath));
    }

    [Fact]
    public void An_unreachable_cluster_is_an_error_that_says_what_to_do()
    {
        using var place = new Place(cluster);
        using var deaf = new Deaf(place);
        var e = Refused(place);
        Assert.Equal(Errno.ETIMEDOUT, e.Errno);
        Assert.Contains(deaf.Address, e.Message);
        Assert.Contains("wait = yes", e.Message);
    }

    [Fact]
    public void Without_a_configuration_or_a_state_file_nothing_starts()
    {
        using var place = new Place(cluster);
        place.Options = place.Options with { CephConf = "/no/such/ceph.conf", Wait = true };
        Assert.Contains("/no/such/ceph.conf", Refused(place).Message);
        place.Options = place.Options with { State = "" };
        Assert.Contains("state = FILE", Refused(place).Message);
    }

    [Fact]
    public void A_state_file_belongs_to_one_peer()
    {
        using var place = new Place(cluster);
        using var other = new Place(cluster);
        using var host = new RadosdHost(place.SegmentPath, place.Options);
        other.Options = other.Options with { State = place.StatePath };
        Assert.Equal(Errno.EBUSY, Refused(other).Errno);
    }

    [Fact]
    public void Told_to_wait_it_starts_without_RADOS_and_requests_wait_for_it()
    {
        using var place = new Place(cluster);
        string conf = place.Options.CephConf;
        using var deaf = new Deaf(place);
        using var host = new RadosdHost(place.SegmentPath, place.Options with { Wait = true });
        using var client = new XsegClient(place.SegmentPath);
        var request = client.Send(XsegOp.Write, XsegClient.Name("o"), data: [1, 2, 3]);
        OrderTests.Until(() => host.Rados.Waiting == 1);
        Assert.Contains("requests wait", host.Logs.Text);
        Assert.False(client.IsAnswered(request));
        File.Copy(conf, place.Options.CephConf, overwrite: true);
        Assert.Equal(0, client.Wait(request));
        client.Free(request);
        Assert.Equal([1, 2, 3], client.Read("o", 3));
    }

    private static ErrnoException Refused(Place place) => Assert.Throws<ErrnoException>(() => new RadosdHost(place.SegmentPath, place.Options));

    /// <summary>A configuration whose monitor is a socket that is bound and does not listen.</summary>
    private sealed class Deaf : IDisposable
    {
        private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

        internal Deaf(Place place)
        {
            _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            Address = _socket.LocalEndPoint!.ToString()!;
            string conf = Path.Combine(Path.GetDirectoryName(place.SegmentPath)!, "ceph.conf");
            File.WriteAllText(conf, $"[global]\nmon_host = [v2:{Address}/0]\nauth_client_required = none\n");
            place.Options = place.Options with { CephConf = conf, ConnectTimeout = TimeSpan.FromSeconds(1) };
        }

        internal string Address { get; }

        public void Dispose() => _socket.Dispose();
    }
}
