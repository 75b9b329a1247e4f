using Archipelago.Librados.Tests;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Xunit;

namespace Archipelago.Radosd.Tests;

[Collection(MemoryClusterGroup.Name)]
public sealed class OrderTests(MemoryCluster cluster)
{
    private const int Size = 64 << 10, Objects = 3;

    [Theory]
    [InlineData(1, 512)]
    [InlineData(2, 5)]
    public void Overlapping_requests_sent_together_have_the_effect_of_one_after_another(int seed, int maxOps)
    {
        const int count = 3000, depth = 64;
        using var place = new Place(cluster);
        using var host = new RadosdHost(place.SegmentPath, place.Options with { MaxOperations = maxOps, MaxWrites = Math.Max(1, maxOps - 2) });
        using var client = new XsegClient(place.SegmentPath, pages: 5000);
        var random = new Random(seed);
        var model = new byte[]?[Objects];
        var flying = new Queue<(Request Request, byte[]? Expected, string What)>();
        for (int i = 0; i < count; i++)
        {
            if (flying.Count == depth) Check();
            flying.Enqueue(Next(i));
        }

        while (flying.Count > 0) Check();
        for (int o = 0; o < Objects; o++)
        {
            if (model[o] is { Length: > 0 } content) Assert.Equal(content, client.Read($"o{o}", content.Length));
            Assert.Equal(model[o] == null ? (2, 0ul) : (0, (ulong)model[o]!.Length), First(client.Do(XsegOp.Info, $"o{o}")));
        }

        Assert.True(host.Rados.OrderWaits > 0);

        (Request, byte[]?, string) Next(int i)
        {
            int o = random.Next(Objects), offset = random.Next(Size), length = random.Next(1, Size - offset + 1);
            byte[] name = XsegClient.Name($"o{o}");
            ref byte[]? content = ref model[o];
            switch (random.Next(20))
            {
                case < 8:
                    byte[] data = Place.Random(Math.Min(length, 20_000), i);
                    Grow(ref content, offset + data.Length);
                    data.CopyTo(content!, offset);
                    return (client.Send(XsegOp.Write, name, (ulong)offset, data: data), null, $"{i} write {offset}+{data.Length}");
                case < 15:
                    var expected = new byte[length];
                    if (content != null && offset < content.Length) content.AsSpan(offset, Math.Min(length, content.Length - offset)).CopyTo(expected);
                    return (client.Send(XsegOp.Read, name, (ulong)offset, (ulong)length, ownPages: random.Next(2) == 0), expected, $"{i} read {offset}+{length}");
                case 15:
                    if (content != null && offset < content.Length) content.AsSpan(offset, Math.Min(length, content.Length - offset)).Clear();
                    return (client.Send(XsegOp.Discard, name, (ulong)offset, (ulong)length), null, $"{i} discard");
                case 16:
                    if (content != null)
                    {
                        Grow(ref content, offset + length);
                        content.AsSpan(offset, length).Clear();
                    }

                    return (client.Send(XsegOp.WriteZeroes, name, (ulong)offset, (ulong)length), null, $"{i} write zeroes");
                case 17:
                    Array.Resize(ref content, offset);
                    return (client.Send(XsegOp.Truncate, name, 0, (ulong)offset), null, $"{i} truncate");
                case 18 when random.Next(4) == 0:
                    content = null;
                    return (client.Send(XsegOp.Delete, name), null, $"{i} delete");
                default:
                    int from = random.Next(Objects);
                    if (model[from] is not { } source) goto case 17;
                    content = [.. source[..Math.Min(source.Length, length)]];
                    return (client.Send(XsegOp.Copy, name, 0, (ulong)length, source: XsegClient.Name($"o{from}")), null, $"{i} copy");
            }
        }

        void Check()
        {
            var (request, expected, what) = flying.Dequeue();
            Assert.True(client.Wait(request) == 0, $"{what}: {request.Status}");
            if (expected != null) Assert.True(expected.AsSpan().SequenceEqual(XsegClient.Data(request)), what);
            client.Free(request);
        }

        static void Grow(ref byte[]? content, int size)
        {
            if (content == null || content.Length < size) Array.Resize(ref content, size);
        }

        static (int, ulong) First((int Status, ulong Serviced, ReplyFlags) outcome) => (outcome.Status, outcome.Serviced);
    }

    [Fact]
    public void What_exceeds_the_limits_waits_here_and_reads_pass_waiting_writes()
    {
        using var place = new Place(cluster);
        using var host = new RadosdHost(place.SegmentPath, place.Options with { MaxOperations = 6, MaxWrites = 4, MaxBytes = 5 << 20 });
        using var client = new XsegClient(place.SegmentPath);
        client.Write("r", [1, 2, 3]);
        var all = new List<Request>();
        cluster.Freeze();
        try
        {
            for (int i = 0; i < 40; i++) all.Add(client.Send(XsegOp.Write, XsegClient.Name($"w{i}"), data: Place.Random(4096, i)));
            Until(() => host.Rados is { InFlight: 4, Waiting: 36 });
            for (int i = 0; i < 5; i++) all.Add(client.Send(XsegOp.Read, XsegClient.Name("r"), 0, 3));
            Until(() => host.Rados is { InFlight: 6, Waiting: 39 });
            // Two of these never fit together.
            for (int i = 0; i < 3; i++) all.Add(client.Send(XsegOp.Read, XsegClient.Name($"big{i}"), 0, 4 << 20));
            Until(() => host.Rados is { InFlight: 6, Waiting: 42 });
            Assert.All(all, request => Assert.False(client.IsAnswered(request)));
        }
        finally
        {
            cluster.Thaw();
        }

        foreach (var request in all)
        {
            Assert.Equal(0, client.Wait(request));
            Assert.InRange(host.Rados.InFlight, 0, 6);
            Assert.InRange(host.Rados.BytesInFlight, 0, 5 << 20);
            client.Free(request);
        }

        Until(() => host.Rados is { InFlight: 0, BytesInFlight: 0, Waiting: 0 });
        Assert.True(host.Rados.WaitNanoseconds > 0);
    }

    [Fact]
    public void A_flush_waits_for_what_its_flow_has_in_flight_and_for_nothing_else()
    {
        using var place = new Place(cluster);
        using var host = new RadosdHost(place.SegmentPath, place.Options);
        using var client = new XsegClient(place.SegmentPath);
        client.Write("warm", [1]);
        Request write, own, other, everybody;
        cluster.Freeze();
        try
        {
            write = client.Send(XsegOp.Write, XsegClient.Name("f"), data: [1], flow: 1);
            own = client.Send(XsegOp.Flush, [], flow: 1);
            everybody = client.Send(XsegOp.Flush, [], flow: 0);
            other = client.Send(XsegOp.Flush, [], flow: 2);
            Assert.Equal(0, client.Wait(other));
            Assert.False(client.IsAnswered(own));
            Assert.False(client.IsAnswered(everybody));
        }
        finally
        {
            cluster.Thaw();
        }

        foreach (var request in new[] { own, everybody, write }) Assert.Equal(0, client.Wait(request));
        foreach (var request in new[] { write, own, other, everybody }) client.Free(request);
    }

    [Fact]
    public void Reads_for_which_no_pages_are_free_wait_and_hold_up_no_write()
    {
        using var place = new Place(cluster);
        using var host = new RadosdHost(place.SegmentPath, place.Options with { MaxBytes = 4 << 20 }, pages: 256);
        using var client = new XsegClient(place.SegmentPath);
        byte[] data = Place.Random(1 << 20, 1);
        client.Write("o", data);
        var lent = client.Send(XsegOp.Read, XsegClient.Name("o"), 0, 1 << 20);
        Assert.Equal(0, client.Wait(lent));
        // All pages are lent, and stay so until this one is freed.
        var reads = new List<Request>();
        for (int i = 0; i < 12; i++) reads.Add(client.Send(XsegOp.Read, XsegClient.Name("o"), 0, 1 << 20));
        // A write, the lent one, and those that were sent before more than half of the bytes were held.
        Until(() => host.Rados is { InFlight: 0, Waiting: >= 5 } && host.Rados.Operations + host.Rados.Waiting == 14);
        client.Write("other", [1, 2, 3]);
        client.Free(lent);
        // Whichever got the pages first must give them back before another can have them.
        while (reads.Count > 0)
        {
            var read = default(Request);
            Until(() => (read = reads.Find(other => client.IsAnswered(other))).IsValid);
            Assert.Equal(0, client.Wait(read));
            Assert.True(data.AsSpan().SequenceEqual(XsegClient.Data(read)));
            reads.Remove(read);
            client.Free(read);
        }

        // The slot of an answered read names pages until it is used again; what it waits for must not be among them.
        for (int i = 0; i < 3; i++) Assert.True(data.AsSpan().SequenceEqual(client.Read("o", data.Length)));

        // More than there ever is.
        client.Write("large", Place.Random(2 << 20, 2));
        Assert.Equal(12, client.Do(XsegOp.Read, "large", length: 2 << 20).Status);
    }

    [Fact]
    public void Many_copies_and_hashes_at_once_take_turns()
    {
        using var place = new Place(cluster);
        using var host = new RadosdHost(place.SegmentPath, place.Options with { MaxBytes = 8 << 20 });
        using var client = new XsegClient(place.SegmentPath);
        byte[] data = Place.Random(100_000, 1);
        client.Write("c0", data);
        var all = new List<Request>();
        for (int i = 1; i <= 60; i++)
        {
            all.Add(client.Send(XsegOp.Copy, XsegClient.Name($"c{i}"), 0, 4 << 20, source: XsegClient.Name($"c{i - 1}")));
            all.Add(client.Send(XsegOp.Hash, XsegClient.Name($"c{i}")));
        }

        byte[] hash = System.Security.Cryptography.SHA256.HashData(data);
        foreach (var request in all)
        {
            Assert.Equal(0, client.Wait(request));
            if (request.Op == XsegOp.Hash) Assert.Equal(hash, request.Result[..32].ToArray());
            client.Free(request);
        }
    }

    internal static void Until(Func<bool> reached)
    {
        var end = DateTime.UtcNow.AddSeconds(60);
        while (!reached())
        {
            Assert.True(DateTime.UtcNow < end, "not reached within 60 s");
            Thread.Sleep(1);
        }
    }
}
