using Archipelago.Conformance.Tests.Harness;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Behaviours;

/// <summary>WRITE with COMPARE.</summary>
public abstract partial class BlockerConformance
{
    [Theory]
    [InlineData(0, 512)]
    [InlineData(3584, 512)]
    [InlineData(3584, 1024)]
    [InlineData(512, 4096)]
    [InlineData(4096, 4096)]
    [InlineData(1024, 64 << 10)]
    [InlineData((4 << 20) - 512, 512)]
    [InlineData((4 << 20) - (64 << 10), 64 << 10)]
    public void A_swap_replaces_what_was_expected_and_nothing_around_it(int offset, int size)
    {
        string name = Name($"swap{offset}.{size}");
        int before = Math.Min(offset, 5000), after = (int)Math.Min(5000, MaxObject - (ulong)(offset + size));
        byte[] all = Pattern(before + size + after, 31);
        Blocker.Write(name, (ulong)(offset - before), all);
        byte[] fresh = Pattern(size, 32);
        var reply = Blocker.Good(Swap(name, (ulong)offset, all[before..(before + size)], fresh));
        Assert.Equal(ReplyFlags.Stable, reply.Flags);
        fresh.CopyTo(all, before);
        Assert.Equal(all, Blocker.Read(name, (ulong)(offset - before), (ulong)all.Length).Data);
        Assert.Equal((ulong)(offset + size + after), Blocker.Info(name));
    }

    [Fact]
    public void A_swap_that_finds_something_else_changes_nothing()
    {
        string name = Name("else");
        byte[] there = Pattern(8192, 33), fresh = Pattern(1024, 34);
        Blocker.Write(name, 0, there);
        foreach (int differs in (int[])[0, 511, 512, 1023])
        {
            byte[] expected = there[3584..4608];
            expected[differs] ^= 1;
            Assert.Equal(XsegErrno.EILSEQ, Blocker.Do(Swap(name, 3584, expected, fresh)).Status);
        }

        // The new bytes are no excuse: somebody else has written them.
        Assert.Equal(XsegErrno.EILSEQ, Blocker.Do(Swap(name, 3584, fresh, there[3584..4608])).Status);
        Assert.Equal(there, Blocker.Read(name, 0, 8192).Data);
    }

    [Fact]
    public void A_missing_object_and_what_lies_behind_an_end_hold_zeros()
    {
        string name = Name("zeros");
        byte[] first = Pattern(512, 35), second = Pattern(4096, 36), third = Pattern(512, 37);
        Assert.Equal(XsegErrno.EILSEQ, Blocker.Do(Swap(name, 0, first, second[..512])).Status);
        Assert.Equal(XsegErrno.EILSEQ, Blocker.Do(Swap(name, 0, first, first)).Status);
        Assert.Null(Blocker.Info(name));
        Blocker.Good(Swap(name, 512, new byte[512], first));
        Assert.Equal(1024ul, Blocker.Info(name));
        Assert.Equal(XsegErrno.EILSEQ, Blocker.Do(Swap(name, 512, new byte[512], third)).Status);
        // Over the end, and then behind it.
        Blocker.Good(Swap(name, 512, [.. first, .. new byte[3584]], second));
        Assert.Equal(4608ul, Blocker.Info(name));
        Assert.Equal(XsegErrno.EILSEQ, Blocker.Do(Swap(name, 10_240, third, third)).Status);
        Assert.Equal(4608ul, Blocker.Info(name));
        Blocker.Good(Swap(name, 10_240, new byte[512], third));
        Assert.Equal((byte[])[.. new byte[512], .. second, .. new byte[10_240 - 4608], .. third], Blocker.Read(name, 0, 10_752).Data);

        Blocker.Good(Swap(Name("zeros.new"), 0, new byte[512], new byte[512]));
        Assert.Equal(512ul, Blocker.Info(Name("zeros.new")));
        Blocker.Good(XsegOp.Delete, name);
        Assert.Equal(XsegErrno.EILSEQ, Blocker.Do(Swap(name, 512, second[..512], first)).Status);
        Blocker.Good(Swap(name, 512, new byte[512], first));
    }

    [Fact]
    public void A_swap_of_a_bad_size_or_place_is_refused()
    {
        string name = Name("refused");
        foreach (var (offset, length) in ((ulong, int)[])[(0, 0), (0, 512), (0, 1023), (0, 1536), (1, 1024), (256, 1024), (4095, 1024), (0, (128 << 10) + 1024), (0, 1 << 20)])
            Assert.Equal(XsegErrno.EINVAL, Blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name(name), offset, (ulong)length) { Payload = new byte[length], Flags = RequestFlags.Compare }).Status);
        Assert.Equal(XsegErrno.EINVAL, Blocker.Do(new Ask(XsegOp.Write, [], 0, 1024) { Payload = new byte[1024], Flags = RequestFlags.Compare }).Status);
        Assert.Equal(XsegErrno.EFBIG, Blocker.Do(Swap(name, MaxObject - 512, new byte[1024], new byte[1024])).Status);
        Assert.Equal(XsegErrno.EFBIG, Blocker.Do(Swap(name, MaxObject, new byte[512], new byte[512])).Status);
        Assert.Equal(XsegErrno.EBADMSG, Blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name(name), 0, 1024) { Flags = RequestFlags.Compare }).Status);
        Assert.Equal(XsegErrno.EBADMSG, Blocker.Do(Swap(name, 0, new byte[8192], new byte[8192]) with { Spent = 1 }).Status);
        Assert.Null(Blocker.Info(name));
    }

    [Fact]
    public void A_replayed_swap_that_took_effect_is_a_success()
    {
        string name = Name("replayed");
        byte[] old = Pattern(1024, 38), fresh = Pattern(1024, 39), other = Pattern(1024, 40);
        Blocker.Write(name, 512, old);
        Blocker.Good(Swap(name, 512, old, fresh));
        Assert.Equal(XsegErrno.EILSEQ, Blocker.Do(Swap(name, 512, old, fresh)).Status);
        Assert.Equal(ReplyFlags.Stable, Blocker.Good(Swap(name, 512, old, fresh) with { Attempts = 1 }).Flags);
        // One that did not take effect does now.
        Blocker.Good(Swap(name, 512, fresh, other) with { Attempts = 1 });
        Assert.Equal(XsegErrno.EILSEQ, Blocker.Do(Swap(name, 512, old, fresh) with { Attempts = 1 }).Status);
        Assert.Equal((byte[])[.. new byte[512], .. other], Blocker.Read(name, 0, 1536).Data);
        Blocker.Good(Swap(Name("replayed.new"), 512, new byte[512], fresh[..512]) with { Attempts = 1 });
    }

    [Fact]
    public async Task Increments_by_many_clients_are_all_counted()
    {
        const int Clients = 10, Each = 10;
        string name = Name("counter");
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(async client =>
        {
            for (int i = 0; i < Each; i++) await Increment(client);
        }));
        Assert.Equal(Clients * Each, BitConverter.ToInt64(Blocker.Read(name, 3584, 512).Data));
        Blocker.Good(XsegOp.Flush, "");

        async Task Increment(int client)
        {
            while (true)
            {
                byte[] seen = (await Blocker.Issue(new Ask(XsegOp.Read, BlockerHarness.Name(name), 3584, 1024))).Data;
                byte[] next = [.. seen];
                BitConverter.TryWriteBytes(next, BitConverter.ToInt64(seen) + 1);
                next[600] = (byte)client;
                int status = (await Blocker.Issue(Swap(name, 3584, seen, next))).Status;
                if (status == 0) return;
                Assert.Equal(XsegErrno.EILSEQ, status);
            }
        }
    }

    /// <summary>A WRITE with COMPARE.</summary>
    protected static Ask Swap(string name, ulong offset, byte[] expected, byte[] fresh) =>
        new(XsegOp.Write, BlockerHarness.Name(name), offset, (ulong)(expected.Length + fresh.Length)) { Payload = [.. expected, .. fresh], Flags = RequestFlags.Compare };
}
