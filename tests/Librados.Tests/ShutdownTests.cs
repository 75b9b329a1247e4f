using Archipelago.Radosd.Librados;
using Xunit;

namespace Archipelago.Librados.Tests;

[Collection(MemoryClusterGroup.Name)]
public sealed unsafe class ShutdownTests(MemoryCluster cluster)
{
    [Fact]
    public void A_shutdown_with_grace_lets_operations_in_flight_end()
    {
        using var client = new Client(cluster);
        string ns = client.Pool.Namespace;
        for (int i = 0; i < 60; i++)
            Assert.Equal(0, client.Pool.Write(Client.Name($"g{i}"), new byte[4096], 0, null, i));
        client.Cluster.Shutdown(TimeSpan.FromSeconds(60));
        Assert.Equal(Enumerable.Range(0, 60).Select(i => ((long)i, 0)), Results(client).Order());

        using var later = new Client(cluster, ns: ns);
        for (int i = 0; i < 60; i++)
            Assert.Equal(4096ul, later.Stat($"g{i}").ObjectSize);
    }

    [Fact]
    public void A_shutdown_while_the_store_is_frozen_cancels_and_gives_every_result_once()
    {
        using var client = new Client(cluster);
        client.Write("r", [1]);
        cluster.Freeze();
        try
        {
            for (int i = 0; i < 20; i++)
                Assert.Equal(0, client.Pool.Write(Client.Name($"s{i}"), new byte[4096], 0, null, i));
            for (int i = 20; i < 40; i++)
                Assert.Equal(0, client.Pool.Read("r"u8, client.Memory + (i * 4096), 4096, 0, null, i));
            client.Cluster.Shutdown(TimeSpan.FromMilliseconds(50));
            Assert.Equal(
                Enumerable.Range(0, 40).Select(i => ((long)i, RadosErrno.ECANCELED)), Results(client).Order());
            Assert.True(RadosErrno.LeavesOutcomeUnknown(RadosErrno.ECANCELED));
        }
        finally
        {
            cluster.Thaw();
        }
        Assert.Equal(RadosErrno.EPIPE, client.Pool.Write("s"u8, [1], 0, null));
        Assert.Equal(0, client.Queue.InFlight);
    }

    [Fact]
    public void Operations_can_be_cancelled_while_the_client_lives_on()
    {
        using var client = new Client(cluster);
        cluster.Freeze();
        try
        {
            for (int i = 0; i < 10; i++)
                Assert.Equal(0, client.Pool.Write("c"u8, [1], 0, null, i));
            Assert.Equal(0, client.Pool.Flush(null, 10));
            client.Queue.CancelAll();
            client.Queue.CancelAll();
            for (int i = 0; i < 11; i++)
            {
                RadosResult result = client.Take();
                Assert.Equal(result.Token == 10 ? 0 : RadosErrno.ECANCELED, result.Errno);
            }
        }
        finally
        {
            cluster.Thaw();
        }
        Assert.Equal(0, client.Write("c", [2]));
        Assert.Equal([2], client.Read("c", 10));
    }

    [Fact]
    public void A_closed_queue_takes_no_more_but_finishes_what_it_has()
    {
        using var client = new Client(cluster);
        Assert.Equal(0, client.Pool.Write("k"u8, [1], 0, null));
        client.Queue.Close();
        Assert.Equal(RadosErrno.EPIPE, client.Pool.Write("k"u8, [2], 0, null));
        Assert.Equal(0, client.Take().Errno);
        client.Cluster.Shutdown(TimeSpan.Zero);
        client.Cluster.Shutdown(TimeSpan.Zero);
    }

    [Fact]
    public void Clients_come_and_go_beside_each_other()
    {
        using var stays = new Client(cluster);
        for (int i = 0; i < 5; i++)
        {
            using var goes = new Client(cluster);
            Assert.NotEqual(stays.Cluster.InstanceId, goes.Cluster.InstanceId);
            Assert.Equal(0, goes.Write("m", [(byte)i]));
            Assert.Equal([(byte)i], stays.Read("m", 10));
        }
    }

    private static List<(long Token, int Errno)> Results(Client client)
    {
        var results = new List<(long, int)>();
        while (client.Queue.TryTake(out RadosResult result))
            results.Add((result.Token, result.Errno));
        return results;
    }
}
