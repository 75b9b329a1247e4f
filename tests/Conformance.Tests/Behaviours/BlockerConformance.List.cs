using System.Buffers.Binary;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Behaviours;

/// <summary>READ with LIST, and INVALIDATE.</summary>
public abstract partial class BlockerConformance
{
    private const ulong EndOfList = ulong.MaxValue;

    [Theory]
    [InlineData(64 << 10, false)]
    [InlineData(64 << 10, true)]
    [InlineData((64 << 10) + 1, false)]
    [InlineData(4 << 20, false)]
    [InlineData(4 << 20, true)]
    public void A_listing_names_every_object_whatever_its_name(int capacity, bool supplied)
    {
        var names = Enumerable.Range(0, 1000).Select(OddName).ToArray();
        for (int i = 0; i < names.Length; i += 50)
            foreach (var reply in HostThread.Wait(Blocker.Issue([.. names.Skip(i).Take(50).Select(name => new Ask(XsegOp.Write, name, 0, 1) { Payload = [1] })])))
                Assert.Equal(0, reply.Status);
        Blocker.Good(XsegOp.Acquire, Name("lock"));
        Blocker.Good(XsegOp.Delete, System.Text.Encoding.ASCII.GetString(names[0]));

        var listed = ListAll((ulong)capacity, supplied);
        // A lock is an object, too.
        Assert.Equal(names.Skip(1).Append(BlockerHarness.Name(Name("lock"))).Select(Convert.ToHexString).Order(), listed.Select(Convert.ToHexString).Where(IsOurs).Distinct().Order());
        Blocker.Good(XsegOp.Release, Name("lock"));

        bool IsOurs(string hex) => hex.Contains(Convert.ToHexString(BlockerHarness.Name(_prefix)));
    }

    [Fact]
    public async Task A_listing_names_what_is_there_all_the_time_while_others_come_and_go()
    {
        byte[][] staying = [.. Enumerable.Range(0, 700).Select(i => BlockerHarness.Name(Name($"stays.{i}.{new string('x', 150)}")))];
        foreach (byte[][] some in staying.Chunk(50)) Assert.All(await Blocker.Issue([.. some.Select(name => new Ask(XsegOp.Write, name, 0, 1) { Payload = [1] })]), reply => Assert.Equal(0, reply.Status));
        using var stop = new CancellationTokenSource();
        var others = Task.Run(async () =>
        {
            for (int i = 0; !stop.IsCancellationRequested; i = (i + 1) % 500)
            {
                var name = BlockerHarness.Name(Name($"goes.{i}.{new string('y', 150)}"));
                Assert.Equal(0, (await Blocker.Issue(new Ask(XsegOp.Write, name, 0, 1) { Payload = [1] })).Status);
                Assert.Equal(0, (await Blocker.Issue(new Ask(XsegOp.Write, staying[i], 0, 1) { Payload = [2] })).Status);
                if (i % 3 != 0) Assert.Equal(0, (await Blocker.Issue(new Ask(XsegOp.Delete, name))).Status);
            }
        });
        for (int round = 0; round < 5; round++)
        {
            var listed = ListAll(64 << 10, supplied: round % 2 == 0).Select(Convert.ToHexString).ToHashSet();
            Assert.All(staying, name => Assert.Contains(Convert.ToHexString(name), listed));
        }

        await stop.CancelAsync();
        await others;
    }

    [Fact]
    public void A_listing_of_nothing_is_empty_and_ends()
    {
        var reply = Blocker.Do(ListFrom(EndOfList, 64 << 10));
        Assert.Equal((0, 0ul, EndOfList), (reply.Status, reply.Serviced, BitConverter.ToUInt64(reply.Result)));
    }

    [Fact]
    public void A_listing_that_makes_no_sense_is_refused()
    {
        foreach (var ask in (Ask[])[ListFrom(0, (64 << 10) - 1), ListFrom(0, 0), ListFrom(0, 64 << 10) with { Offset = 4096 }, ListFrom(0, 64 << 10) with { Name = BlockerHarness.Name(Name("named")) }])
            Assert.Equal(XsegErrno.EINVAL, Blocker.Do(ask).Status);
        Assert.Equal(XsegErrno.EBADMSG, Blocker.Do(ListFrom(0, 4 << 20) with { NoList = true }).Status);
    }

    [Fact]
    public void A_replayed_listing_begins_where_it_began()
    {
        string name = Name("listed");
        Blocker.Write(name, 0, [1]);
        var first = Blocker.Do(ListFrom(0, 4 << 20));
        Assert.Equal(EndOfList, BitConverter.ToUInt64(first.Result));
        // Its holder died between storing the next cursor and the answer.
        var again = Blocker.Do(new Ask(XsegOp.Read, [], 0, 4 << 20) { Flags = RequestFlags.List, Cookie = first.Result, Attempts = 1 });
        Assert.Contains(name, Records(again).Select(System.Text.Encoding.Latin1.GetString));
        Assert.Equal(EndOfList, BitConverter.ToUInt64(again.Result));
    }

    [Fact]
    public void An_invalidated_flow_reads_what_is_there()
    {
        string name = Name("invalidated");
        byte[] bytes = Pattern(10_000, 51);
        Blocker.Write(name, 0, bytes);
        Blocker.Good(XsegOp.Invalidate, "");
        Assert.Equal(bytes, Blocker.Read(name, 0, 10_000).Data);
        Blocker.Good(XsegOp.Flush, "");
        Blocker.Good(XsegOp.Invalidate, "");
        Assert.Equal(bytes, Blocker.Read(name, 0, 10_000).Data);
        Blocker.Write(name, 5000, [7]);
        Assert.Equal(7, Blocker.Read(name, 5000, 1).Data[0]);
    }

    private static Ask ListFrom(ulong cursor, ulong capacity) =>
        new(XsegOp.Read, [], 0, capacity) { Flags = RequestFlags.List, Cookie = BitConverter.GetBytes(cursor) };

    private List<byte[]> ListAll(ulong capacity, bool supplied)
    {
        var all = new List<byte[]>();
        ulong cursor = 0;
        while (cursor != EndOfList)
        {
            var reply = Blocker.Do(ListFrom(cursor, capacity) with { Supplied = supplied });
            Assert.Equal(0, reply.Status);
            ulong next = BitConverter.ToUInt64(reply.Result);
            Assert.True(next > cursor, $"{next} after {cursor}");
            cursor = next;
            all.AddRange(Records(reply));
        }

        return all;
    }

    private static IEnumerable<byte[]> Records(Reply reply)
    {
        for (int at = 0; at < (int)reply.Serviced;)
        {
            int length = BinaryPrimitives.ReadUInt16LittleEndian(reply.Data.AsSpan(at));
            yield return reply.Data[(at + 2)..(at + 2 + length)];
            at += 2 + length;
            Assert.True(at <= (int)reply.Serviced);
        }
    }

    /// <summary>Names of all lengths and bytes; 0 is a plain one.</summary>
    private byte[] OddName(int number)
    {
        byte[] prefix = BlockerHarness.Name(Name($"{number}."));
        if (number == 0) return prefix;
        byte[] name = new byte[Math.Min(256, prefix.Length + 1 + (number * 7 % 240))];
        byte filler = (byte)(number * 13);
        Array.Fill(name, filler);
        name[0] = (byte)number;
        prefix.CopyTo(name, number % 2 == 0 ? 1 : name.Length - prefix.Length);
        return name;
    }
}
