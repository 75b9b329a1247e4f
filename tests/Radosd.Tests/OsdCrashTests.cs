using Archipelago.Librados.Tests;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Xunit;

namespace Archipelago.Radosd.Tests;

public sealed class OsdCrashTests
{
    [Fact]
    public void After_the_OSD_is_killed_under_load_requests_resume_and_nothing_acknowledged_is_lost()
    {
        const int objects = 40, depth = 32, phase = 300;
        using var cluster = new DevCluster("bluestore");
        using var place = new Place(cluster);
        var acknowledged = new int[objects];
        int next = 0, taken = 0;
        using (var host = new RadosdHost(place.SegmentPath, place.Options))
        using (var client = new XsegClient(place.SegmentPath))
        {
            var flying = new Queue<(Request Request, int Number)>();
            Load(phase);
            // The window is full all the time, so the kill cuts off requests in every state.
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
            while (outage.IsAlive) Load(1);
            Assert.Null(fault);
            Load(phase);
            while (flying.Count > 0) TakeOne();
            Assert.Equal(next, taken);
            Assert.Equal(0, host.Rados.TimesFenced);

            void Load(int count)
            {
                for (int i = 0; i < count; i++)
                {
                    if (flying.Count == depth) TakeOne();
                    flying.Enqueue((client.Send(XsegOp.Write, XsegClient.Name($"o{next % objects}"), 1000, data: Content(next)), next));
                    next++;
                }
            }

            void TakeOne()
            {
                var (request, number) = flying.Dequeue();
                Assert.Equal(0, client.Wait(request));
                acknowledged[number % objects] = number;
                taken++;
                client.Free(request);
            }
        }

        // And once more from the disk alone.
        cluster.KillOsd();
        cluster.StartOsd();
        using var later = new RadosdHost(place.SegmentPath, place.Options);
        using var reader = new XsegClient(place.SegmentPath);
        for (int i = 0; i < objects; i++) Assert.Equal(Content(acknowledged[i]), reader.Read($"o{i}", 6000, 1000));

        static byte[] Content(int number) => Place.Random(6000, number);
    }
}
