using Archipelago.Radosd.Librados;
using Xunit;

namespace Archipelago.Librados.Tests;

[Collection(MemoryClusterGroup.Name)]
public sealed unsafe class QueueTests(MemoryCluster cluster)
{
    [Fact]
    public void Beyond_the_limits_a_submit_answers_EAGAIN_and_never_blocks()
    {
        using var client = new Client(cluster, operations: 8, bytes: 10_000);
        cluster.Freeze();   // nothing completes: were a submit to block, it would do so for ever
        try
        {
            for (int i = 0; i < 8; i++)
                Assert.Equal(0, client.Pool.Write("q"u8, new byte[1000], 0, null));
            Assert.Equal(RadosErrno.EAGAIN, client.Pool.Write("q"u8, [1], 0, null));
            Assert.Equal(RadosErrno.EAGAIN, client.Pool.Flush(null));
            Assert.Equal((8, 8000L), (client.Queue.InFlight, client.Queue.BytesInFlight));
        }
        finally
        {
            cluster.Thaw();
        }
        client.Take();
        Assert.Equal(RadosErrno.EAGAIN, client.Pool.Write("q"u8, new byte[3001], 0, null));
        Assert.Equal(0, client.Pool.Write("q"u8, new byte[3000], 0, null));
        Assert.Equal(RadosErrno.E2BIG, client.Pool.Write("q"u8, new byte[10_001], 0, null));
        while (client.Queue.InFlight > 0)
            Assert.Equal(0, client.Take().Errno);
        Assert.Equal(0, client.Queue.BytesInFlight);
    }

    [Fact]
    public void Two_threads_push_far_more_than_the_limit_and_each_operation_gives_one_result()
    {
        const int operations = 5000, limit = 100, objects = 500;
        using RadosCluster rados = Client.Connect(cluster);
        string ns = Guid.NewGuid().ToString("N");
        Exception?[] faults = new Exception?[2];
        var threads = Enumerable.Range(0, 2).Select(number =>
        {
            var wake = new SemaphoreSlim(0);
            CompletionQueue queue = rados.CreateQueue(limit, 8 << 20, () => wake.Release());
            RadosPool pool = rados.OpenPool(DevCluster.Pool, queue, ns + number);
            var thread = new Thread(() =>
            {
                try { Push(queue, pool, wake); }
                catch (Exception e) { faults[number] = e; }
            });
            thread.Start();
            return thread;
        }).ToArray();
        foreach (Thread thread in threads)
            thread.Join();
        Assert.All(faults, Assert.Null);

        void Push(CompletionQueue queue, RadosPool pool, SemaphoreSlim wake)
        {
            var seen = new bool[operations];
            var last = new int[objects];
            int next = 0, taken = 0, refused = 0;
            Span<byte> data = stackalloc byte[4096];
            while (taken < operations)
            {
                while (next < operations)
                {
                    data.Fill((byte)next);
                    int errno = pool.Write(Client.Name($"o{next % objects}"), data, 0, null, next);
                    if (errno == RadosErrno.EAGAIN)
                    {
                        refused++;
                        break;
                    }
                    Assert.Equal(0, errno);
                    last[next % objects] = next++;
                }
                if (!queue.TryTake(out RadosResult result))
                {
                    if (queue.TryPark())
                    {
                        Assert.True(wake.Wait(TimeSpan.FromSeconds(60)));
                        queue.Unpark();
                    }
                    continue;
                }
                Assert.Equal(0, result.Errno);
                Assert.False(seen[result.Token], "a second result of one operation");
                seen[result.Token] = true;
                taken++;
            }
            Assert.True(refused > 0, "the limit was never reached");
            Assert.False(queue.TryTake(out _));
            // Submitted in order to one object, applied in that order: the last one stands.
            byte* buffer = stackalloc byte[4096];
            for (int i = 0; i < objects; i++)
            {
                Assert.Equal(0, pool.Read(Client.Name($"o{i}"), buffer, 4096, 0, null));
                RadosResult result;
                while (!queue.TryTake(out result))
                    Thread.Yield();
                Assert.Equal(4096, result.Length);
                Assert.Equal(-1, new ReadOnlySpan<byte>(buffer, 4096).IndexOfAnyExcept((byte)last[i]));
            }
        }
    }

    [Fact]
    public void A_parked_consumer_is_woken_for_every_result()
    {
        using var client = new Client(cluster);
        // Take() fails if a wake gets lost; the loop makes the race of parking and arriving happen often.
        for (int i = 0; i < 3000; i++)
            Assert.Equal(0, client.Await(client.Pool.Write("w"u8, [1], 0, null)).Errno);
        Assert.True(client.Wakes > 0);
    }

    [Fact]
    public void Operations_allocate_no_managed_memory()
    {
        const int operations = 500;
        using var client = new Client(cluster, operations: 16);
        var data = new byte[4096];
        long least = long.MaxValue;
        // Other threads of the process allocate now and then; what an operation allocates shows in every round.
        for (int round = 0; round < 20 && least >= operations; round++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            Run();
            least = Math.Min(least, GC.GetTotalAllocatedBytes(precise: true) - before);
        }
        // Less than a byte an operation: the runtime's own threads are in the count.
        Assert.InRange(least, 0, operations - 1);

        void Run()
        {
            int submitted = 0, taken = 0;
            while (taken < operations)
            {
                if (submitted < operations && Submit(submitted) == 0)
                    submitted++;
                if (client.Queue.TryTake(out RadosResult result))
                    taken += result.Errno == 0 ? 1 : int.MinValue;
            }
        }

        int Submit(int i)
        {
            switch (i % 3)
            {
                case 0:
                    return client.Pool.Write("alloc"u8, data, 0, data);
                case 1:
                    return client.Pool.Read("alloc"u8, client.Memory, 4096, 0, data);
                default:
                    using (var op = RadosWriteOp.Create())
                    {
                        op.AssertExists();
                        op.Write(data, 4096);
                        return op.Submit(client.Pool, "alloc"u8, data);
                    }
            }
        }
    }

    [Fact]
    public void A_flush_ends_after_the_writes_before_it()
    {
        using var client = new Client(cluster);
        for (int i = 0; i < 30; i++)
            Assert.Equal(0, client.Pool.Write(Client.Name($"f{i}"), new byte[100], 0, null, 1));
        Assert.Equal(0, client.Pool.Flush(null, 2));
        int before = 0;
        RadosResult result;
        while ((result = client.Take()).Token == 1)
            before++;
        Assert.Equal((0, 30), (result.Errno, before));
    }
}
