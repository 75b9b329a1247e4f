using System.Net;
using System.Net.Sockets;
using Archipelago.Radosd.Librados;
using Xunit;

namespace Archipelago.Librados.Tests;

[Collection(MemoryClusterGroup.Name)]
public sealed class ConnectTests(MemoryCluster cluster)
{
    [Fact]
    public void Without_a_monitor_the_connect_ends_with_ETIMEDOUT_and_names_the_address()
    {
        // A socket that is bound and does not listen: nobody answers there, and nobody else gets the port.
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        int port = ((IPEndPoint)taken.LocalEndPoint!).Port;
        using var rados = RadosCluster.Create("admin");
        rados.SetOption("mon_host", $"[v2:127.0.0.1:{port}/0]");
        rados.SetOption("auth_client_required", "none");
        var e = Assert.Throws<RadosException>(() => rados.Connect(TimeSpan.FromSeconds(1)));
        Assert.Equal(RadosErrno.ETIMEDOUT, e.Errno);
        Assert.Contains($"127.0.0.1:{port}", e.Message);
        Assert.Throws<ObjectDisposedException>(() => rados.Connect(TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void A_missing_pool_is_named()
    {
        using RadosCluster rados = Client.Connect(cluster);
        Assert.Null(rados.FindPool("nowhere"));
        Assert.NotNull(rados.FindPool(DevCluster.Pool));
        var e = Assert.Throws<RadosException>(() => rados.OpenPool("nowhere", rados.CreateQueue(1, 1, null)));
        Assert.Equal(RadosErrno.ENOENT, e.Errno);
        Assert.Contains("'nowhere'", e.Message);
    }

    [Fact]
    public void Bad_configuration_is_refused_with_its_place()
    {
        using var rados = RadosCluster.Create("client.admin");
        Assert.Contains("/no/such/ceph.conf",
            Assert.Throws<RadosException>(() => rados.ReadConfigFile("/no/such/ceph.conf")).Message);
        Assert.Contains("no_such_option",
            Assert.Throws<RadosException>(() => rados.SetOption("no_such_option", "1")).Message);
        Assert.Equal(RadosErrno.EINVAL,
            Assert.Throws<RadosException>(() => rados.SetOption("objecter_inflight_ops", "many")).Errno);
        Assert.Equal(RadosErrno.EINVAL, Assert.Throws<RadosException>(() => RadosCluster.Create("")).Errno);
        Assert.Throws<InvalidOperationException>(() => rados.FindPool("p"));
    }

    [Fact]
    public void Queues_together_stay_below_the_limits_of_librados()
    {
        const int enospc = 28;
        using RadosCluster rados = Client.Connect(cluster);
        Assert.Equal(enospc, Assert.Throws<RadosException>(() => rados.CreateQueue(1024, 1, null)).Errno);
        Assert.Equal(enospc, Assert.Throws<RadosException>(() => rados.CreateQueue(1, 100 << 20, null)).Errno);
        rados.CreateQueue(900, 90 << 20, null);
        Assert.Equal(enospc, Assert.Throws<RadosException>(() => rados.CreateQueue(61, 1, null)).Errno);
        rados.CreateQueue(60, 6 << 20, null);
        using RadosCluster other = Client.Connect(cluster);
        CompletionQueue foreign = other.CreateQueue(1, 1, null);
        Assert.Throws<ArgumentException>(() => rados.OpenPool(DevCluster.Pool, foreign));
    }

    [Fact]
    public void Operations_have_no_time_out_whatever_the_configuration_says()
    {
        using var rados = RadosCluster.Create("admin");
        rados.ReadConfigFile(cluster.ConfigFile);
        rados.SetOption("rados_osd_op_timeout", "3");
        rados.Connect(TimeSpan.FromSeconds(20));
        Assert.Equal(0, double.Parse(rados.GetOption("rados_osd_op_timeout")));
        Assert.Contains("127.0.0.1", rados.Addresses);
        Assert.True(Guid.TryParse(rados.Fsid, out _));
        Assert.True(RadosCluster.LibraryVersion.Major >= 3);
        Assert.Throws<InvalidOperationException>(() => rados.SetOption("rados_osd_op_timeout", "3"));
    }

    [Fact]
    public void With_cephx_a_user_with_a_key_gets_in_and_others_do_not()
    {
        using var guarded = new DevCluster("memstore", authentication: "cephx");
        using (var client = new Client(guarded))
        {
            Assert.Equal(0, client.Write("a", [1]));
            Assert.Equal([1], client.Read("a", 10));
        }
        Assert.Contains("client.nobody", Refused("nobody", _ => { }).Message);
        string wrong = Path.Combine(guarded.Directory, "other-keyring");
        File.WriteAllText(wrong, "[client.admin]\n\tkey = AQBSdFhcAAAAABAAa3vZ3rKuUTZsbkBQ2wUMlw==\n");
        Assert.Contains("key", Refused("admin", rados => rados.SetOption("keyring", wrong)).Message);

        RadosException Refused(string user, Action<RadosCluster> change)
        {
            using var rados = RadosCluster.Create(user);
            rados.ReadConfigFile(guarded.ConfigFile);
            change(rados);
            return Assert.Throws<RadosException>(() => rados.Connect(TimeSpan.FromSeconds(20)));
        }
    }
}
