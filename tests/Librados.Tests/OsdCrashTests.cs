using Archipelago.Radosd.Librados;
using Xunit;

namespace Archipelago.Librados.Tests;

public sealed class OsdCrashTests
{
    [Fact]
    public void After_the_OSD_is_killed_under_load_io_resumes_and_nothing_acknowledged_is_lost()
    {
        const int objects = 64, depth = 16, phase = 400;
        using var cluster = new DevCluster("bluestore");
        var acknowledged = new int[objects];
        var submitted = new int[objects];
        using (var client = new Client(cluster, operations: depth))
        {
            int next = 0, taken = 0;
            Load(until: phase);
            // The window is full all the time, so the kill cuts off writes in every state.
            Exception? fault = null;
            var outage = new Thread(() =>
            {
                try
                {
                    cluster.KillOsd();
                    cluster.StartOsd();
                }
                catch (Exception e)
                {
                    fault = e;
                }
            });
            outage.Start();
            while (outage.IsAlive)
                Load(until: taken + 1);
            Assert.Null(fault);
            Load(until: taken + phase);
            while (client.Queue.InFlight > 0)
                TakeOne();
            Assert.Equal(submitted, acknowledged);

            void Load(int until)
            {
                while (taken < until)
                {
                    if (Submit() != 0)
                        TakeOne();
                }
            }

            int Submit()
            {
                int index = next % objects;
                int errno = client.Pool.Write(Client.Name($"o{index}"), Content(next), 0, null, next);
                if (errno == 0)
                    submitted[index] = next++;
                else
                    Assert.Equal(RadosErrno.EAGAIN, errno);
                return errno;
            }

            void TakeOne()
            {
                RadosResult result = client.Take();
                Assert.Equal(0, result.Errno);
                acknowledged[result.Token % objects] = (int)result.Token;
                taken++;
            }
        }
        // And once more from the disk alone.
        cluster.KillOsd();
        cluster.StartOsd();
        using var reader = new Client(cluster);
        for (int i = 0; i < objects; i++)
            Assert.Equal(Content(acknowledged[i]), reader.Read($"o{i}", 8192));

        static byte[] Content(int number) => Client.Bytes(4096, number);
    }
}
