using Archipelago.Conformance.Tests.Harness;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Behaviours;

public abstract partial class BlockerConformance
{
    [Fact]
    public void Ping_is_answered() => Assert.Equal(0, Blocker.Status(XsegOp.Ping, ""));

    [Fact]
    public void A_missing_object_reads_as_zeros_and_says_that_it_is_missing()
    {
        foreach (bool supplied in (bool[])[false, true])
        {
            var reply = Blocker.Read(Name("missing"), 100, 10_000, supplied);
            Assert.Equal(new byte[10_000], reply.Data);
            Assert.Equal(ReplyFlags.Missing, reply.Flags & ReplyFlags.Missing);
        }

        Assert.Null(Blocker.Info(Name("missing")));
    }

    [Fact]
    public void A_missing_object_that_must_exist_is_an_error()
    {
        Assert.Equal(XsegErrno.EIO, Blocker.Status(XsegOp.Read, Name("missing"), 0, 4096, RequestFlags.MustExist));
        Blocker.Write(Name("there"), 0, Pattern(10, 1));
        Assert.Equal(new byte[4086], Blocker.Read(Name("there"), 10, 4086, flags: RequestFlags.MustExist).Data);
    }

    [Theory]
    [InlineData(0, 4096)]
    [InlineData(0, 512)]
    [InlineData(512, 1024)]
    [InlineData(3584, 1024)]
    [InlineData(1, 1)]
    [InlineData(4095, 2)]
    [InlineData(4095, 4098)]
    [InlineData(12_345, 54_321)]
    [InlineData(512, 96 * 1024)]
    [InlineData(4096, 1024 * 1024)]
    [InlineData(100, (4 << 20) - 100)]
    [InlineData(0, 4 << 20)]
    public void What_is_written_is_read_back_and_nothing_around_it_changes(int offset, int length)
    {
        string name = Name($"range{offset}.{length}");
        int before = Math.Min(offset, 5000), after = (int)Math.Min(5000, MaxObject - (ulong)(offset + length));
        byte[] all = Pattern(before + length + after, 7);
        // Something lies below, so that merging shows.
        if (before + after > 0) Blocker.Write(name, (ulong)(offset - before), all);
        byte[] middle = Pattern(length, 8);
        Blocker.Write(name, (ulong)offset, middle);
        middle.CopyTo(all, before);

        Assert.Equal((ulong)(offset + length + after), Blocker.Info(name));
        foreach (bool supplied in (bool[])[false, true])
        {
            var reply = Blocker.Read(name, (ulong)offset, (ulong)length, supplied);
            Assert.Equal(middle, reply.Data);
            Assert.Equal(ReplyFlags.None, reply.Flags & ReplyFlags.Missing);
            Assert.Equal(all, Blocker.Read(name, (ulong)(offset - before), (ulong)all.Length, supplied).Data);
        }
    }

    [Fact]
    public void What_lies_between_writes_and_past_the_end_reads_as_zeros()
    {
        string name = Name("sparse");
        byte[] bytes = Pattern(700, 2);
        Blocker.Write(name, 1_000_000, bytes);
        Assert.Equal(1_000_700ul, Blocker.Info(name));
        byte[] expected = new byte[1_050_000];
        bytes.CopyTo(expected, 1_000_000);
        foreach (bool supplied in (bool[])[false, true])
            Assert.Equal(expected, Blocker.Read(name, 0, (ulong)expected.Length, supplied).Data);
    }

    [Fact]
    public void Pages_without_data_are_answered_with_the_zero_page()
    {
        string name = Name("zeros");
        Blocker.Write(name, 5 * 4096, Pattern(4096, 3));
        Assert.Equal(9, Blocker.Read(name, 0, 10 * 4096).ZeroExtents);
        Assert.Equal(10, Blocker.Read(Name("zeros.missing"), 0, 10 * 4096).ZeroExtents);
    }

    [Fact]
    public void An_overwrite_with_zeros_reads_as_zeros()
    {
        string name = Name("overwritten");
        Blocker.Write(name, 0, Pattern(10_000, 4));
        Blocker.Write(name, 0, new byte[10_000]);
        Assert.Equal(new byte[10_000], Blocker.Read(name, 0, 10_000).Data);
        Assert.Equal(10_000ul, Blocker.Info(name));
    }

    [Fact]
    public void Nothing_goes_beyond_the_largest_object()
    {
        string name = Name("large");
        Blocker.Write(name, MaxObject - 1, [1]);
        Assert.Equal(MaxObject, Blocker.Info(name));
        Assert.Equal(XsegErrno.EFBIG, Blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name(name), MaxObject - 1, 2) { Payload = [1, 2] }).Status);
        Assert.Equal(XsegErrno.EFBIG, Blocker.Status(XsegOp.Read, name, MaxObject - 512, 1024));
        Assert.Equal(XsegErrno.EFBIG, Blocker.Status(XsegOp.Discard, name, MaxObject, 1));
        Assert.Equal(XsegErrno.EFBIG, Blocker.Status(XsegOp.WriteZeroes, name, 1, MaxObject));
        Assert.Equal(XsegErrno.EFBIG, Blocker.Status(XsegOp.Truncate, name, 0, MaxObject + 1));
        // Sums that overflow are no way around it.
        Assert.NotEqual(0, Blocker.Status(XsegOp.WriteZeroes, name, long.MaxValue - 1, long.MaxValue));
        Assert.Equal(MaxObject, Blocker.Info(name));
    }

    [Fact]
    public void Requests_of_one_range_take_effect_in_the_order_in_which_they_were_issued()
    {
        string name = Name("order");
        var asks = new List<Ask>();
        for (int i = 0; i < 60; i++)
        {
            byte[] payload = new byte[6000];
            Array.Fill(payload, (byte)(i + 1));
            asks.Add(new Ask(XsegOp.Write, BlockerHarness.Name(name), 1000, 6000) { Payload = payload });
            asks.Add(new Ask(XsegOp.Read, BlockerHarness.Name(name), 2000, 100));
        }

        var replies = HostThread.Wait(Blocker.Issue([.. asks]));
        for (int i = 0; i < replies.Length; i++)
        {
            Assert.Equal(0, replies[i].Status);
            if (i % 2 != 0) Assert.All(replies[i].Data, b => Assert.Equal(i / 2 + 1, b));
        }
    }

    [Fact]
    public void Many_requests_are_under_way_at_once_and_none_gets_the_data_of_another()
    {
        var random = new Random(5);
        string[] names = [.. Enumerable.Range(0, 8).Select(i => Name($"many{i}"))];
        var contents = names.ToDictionary(name => name, _ => new byte[64 * 4096]);
        for (int round = 0; round < 6; round++)
        {
            var asks = new List<Ask>();
            var expected = new List<byte[]?>();
            foreach (string name in names)
                foreach (int page in Enumerable.Range(0, 64).OrderBy(_ => random.Next()).Take(24))
                {
                    byte[] name8 = BlockerHarness.Name(name);
                    if (random.Next(2) == 0)
                    {
                        byte[] payload = Pattern(4096, random.Next());
                        payload.CopyTo(contents[name], page * 4096);
                        asks.Add(new Ask(XsegOp.Write, name8, (ulong)page * 4096, 4096) { Payload = payload });
                        expected.Add(null);
                    }
                    else
                    {
                        asks.Add(new Ask(XsegOp.Read, name8, (ulong)page * 4096, 4096) { Supplied = random.Next(2) == 0 });
                        expected.Add(contents[name].AsSpan(page * 4096, 4096).ToArray());
                    }
                }

            var replies = HostThread.Wait(Blocker.Issue([.. asks]));
            for (int i = 0; i < replies.Length; i++)
            {
                Assert.Equal(0, replies[i].Status);
                if (expected[i] != null) Assert.Equal(expected[i], replies[i].Data);
            }
        }
    }

    [Fact]
    public void A_stable_write_says_so_and_a_flush_is_answered()
    {
        var reply = Blocker.Write(Name("fua"), 0, Pattern(5000, 6), RequestFlags.ForceUnitAccess);
        Assert.Equal(ReplyFlags.Stable, reply.Flags & ReplyFlags.Stable);
        Blocker.Write(Name("flushed"), 0, Pattern(5000, 6), flow: 3);
        Blocker.Good(XsegOp.Flush, "", flow: 3);
        Blocker.Good(XsegOp.Flush, "", flow: 7);
        Blocker.Good(XsegOp.Flush, "", flow: 0);
        foreach (var op in (XsegOp[])[XsegOp.WriteZeroes, XsegOp.Discard, XsegOp.Truncate])
            Blocker.Good(op, Name("fua"), 0, 4096, RequestFlags.ForceUnitAccess);
        Blocker.Good(XsegOp.Delete, Name("fua"), flags: RequestFlags.ForceUnitAccess);
    }
}
