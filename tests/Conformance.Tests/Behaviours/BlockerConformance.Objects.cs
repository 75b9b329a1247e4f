using System.Security.Cryptography;
using System.Text;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Behaviours;

public abstract partial class BlockerConformance
{
    [Theory]
    [InlineData(XsegOp.Discard)]
    [InlineData(XsegOp.WriteZeroes)]
    public void A_zeroed_range_reads_as_zeros_and_its_neighbours_stay(XsegOp op)
    {
        string name = Name($"zeroed{op}");
        byte[] expected = Pattern(100_000, 9);
        Blocker.Write(name, 0, expected);
        foreach (var (offset, length) in ((int, int)[])[(4096, 8192), (1, 10), (20_000, 30_000), (99_000, 1000), (512, 512)])
        {
            var reply = Blocker.Good(op, name, (ulong)offset, (ulong)length);
            Assert.Equal((ulong)length, reply.Serviced);
            expected.AsSpan(offset, length).Clear();
            Assert.Equal(expected, Blocker.Read(name, 0, 100_000).Data);
        }

        Assert.Equal(100_000ul, Blocker.Info(name));
        Blocker.Good(op, Name("zeroed.missing"), 0, 4096);
        Assert.Null(Blocker.Info(Name("zeroed.missing")));
    }

    [Fact]
    public void Zeroes_past_the_end_extend_and_a_discard_does_not()
    {
        string name = Name("end");
        Blocker.Write(name, 0, Pattern(5000, 10));
        Blocker.Good(XsegOp.Discard, name, 10_000, 10_000);
        Assert.Equal(5000ul, Blocker.Info(name));
        Blocker.Good(XsegOp.Discard, name, 4096, 100_000);
        Assert.Equal(5000ul, Blocker.Info(name));
        Blocker.Good(XsegOp.WriteZeroes, name, 4500, 7500);
        Assert.Equal(12_000ul, Blocker.Info(name));
        byte[] expected = new byte[12_000];
        Pattern(5000, 10).AsSpan(0, 4096).CopyTo(expected);
        Assert.Equal(expected, Blocker.Read(name, 0, 12_000).Data);
    }

    [Fact]
    public void A_truncated_object_is_shorter_and_grows_with_zeros()
    {
        string name = Name("truncated");
        byte[] bytes = Pattern(20_000, 11);
        Blocker.Write(name, 0, bytes);
        Blocker.Good(XsegOp.Truncate, name, 0, 5001);
        Assert.Equal(5001ul, Blocker.Info(name));
        Blocker.Good(XsegOp.Truncate, name, 0, 20_000);
        byte[] expected = new byte[20_000];
        bytes.AsSpan(0, 5001).CopyTo(expected);
        Assert.Equal(expected, Blocker.Read(name, 0, 20_000).Data);
        Assert.Equal(20_000ul, Blocker.Info(name));

        Blocker.Good(XsegOp.Truncate, Name("truncated.new"), 0, 777);
        Assert.Equal(777ul, Blocker.Info(Name("truncated.new")));
        Blocker.Good(XsegOp.Truncate, Name("truncated.new"), 0, 0);
        Assert.Equal(0ul, Blocker.Info(Name("truncated.new")));
    }

    [Fact]
    public void A_deleted_object_is_missing_and_may_be_deleted_again()
    {
        string name = Name("deleted");
        Blocker.Write(name, 0, Pattern(9000, 12));
        Assert.Equal(1ul, Blocker.Good(XsegOp.Delete, name).Serviced);
        Assert.Equal(0ul, Blocker.Good(XsegOp.Delete, name).Serviced);
        Assert.Null(Blocker.Info(name));
        Assert.Equal(new byte[9000], Blocker.Read(name, 0, 9000).Data);
        Blocker.Write(name, 4096, [1, 2, 3]);
        byte[] expected = new byte[9000];
        ((byte[])[1, 2, 3]).CopyTo(expected, 4096);
        Assert.Equal(expected, Blocker.Read(name, 0, 9000).Data);
        Blocker.Good(XsegOp.Flush, "");
    }

    [Fact]
    public void A_copy_replaces_its_target()
    {
        string source = Name("source"), target = Name("target");
        byte[] bytes = Pattern(50_001, 13);
        Blocker.Write(source, 0, bytes);
        Blocker.Write(source, 200_000, bytes);
        Blocker.Write(target, 0, Pattern(300_000, 14));

        Assert.Equal(250_001ul, Copy(source, target, MaxObject).Serviced);
        Assert.Equal(250_001ul, Blocker.Info(target));
        byte[] all = Blocker.Read(source, 0, 260_000).Data;
        Assert.Equal(all, Blocker.Read(target, 0, 260_000).Data);
        Copy(source, target, 10_001);
        Assert.Equal(10_001ul, Blocker.Info(target));
        all.AsSpan(10_001).Clear();
        Assert.Equal(all, Blocker.Read(target, 0, 260_000).Data);
        // The two are apart.
        Blocker.Write(target, 0, [9, 9]);
        Assert.Equal(bytes, Blocker.Read(source, 0, 50_001).Data);
        Assert.Equal(50_001ul, Copy(source, source, 50_001).Serviced);
        Assert.Equal(bytes, Blocker.Read(source, 0, 50_001).Data);
        Assert.Equal(50_001ul, Blocker.Info(source));
    }

    [Fact]
    public void A_copy_that_makes_no_sense_is_refused()
    {
        string source = Name("copied"), target = Name("exists");
        Blocker.Write(source, 0, Pattern(100, 15));
        Blocker.Write(target, 0, Pattern(200, 16));
        Assert.Equal(XsegErrno.ENOENT, Blocker.Do(CopyOf(Name("copied.missing"), target, 4096)).Status);
        Assert.Equal(XsegErrno.EEXIST, Blocker.Do(CopyOf(source, target, 4096) with { Flags = RequestFlags.Exclusive }).Status);
        Assert.Equal(XsegErrno.EINVAL, Blocker.Do(CopyOf(source, target, 4096) with { Offset = 512 }).Status);
        Assert.Equal(Pattern(200, 16), Blocker.Read(target, 0, 200).Data);
        Assert.Equal(0, Blocker.Do(CopyOf(source, Name("fresh"), 4096) with { Flags = RequestFlags.Exclusive }).Status);
        Assert.Equal(100ul, Blocker.Info(Name("fresh")));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    [InlineData(4096, 0)]
    [InlineData(10_000, 7)]
    [InlineData(300_000, 100_000)]
    [InlineData(10, 500_000)]
    public void The_hash_is_that_of_the_content_without_trailing_zeros(int length, int zeros)
    {
        string name = Name($"hash{length}.{zeros}");
        byte[] bytes = Pattern(length, 17);
        if (length > 5000) bytes.AsSpan(1000, 4000).Clear();
        Blocker.Good(XsegOp.Truncate, name, 0, (ulong)(length + zeros));
        if (length > 0) Blocker.Write(name, 0, bytes);
        Assert.Equal(SHA256.HashData(bytes), Blocker.Good(XsegOp.Hash, name).Result[..32]);
    }

    [Fact]
    public void Zeros_in_front_of_data_count_and_a_missing_object_hashes_as_empty()
    {
        string name = Name("late");
        Blocker.Write(name, 700_000, [5]);
        byte[] content = new byte[700_001];
        content[^1] = 5;
        Assert.Equal(SHA256.HashData(content), Blocker.Good(XsegOp.Hash, name).Result[..32]);
        Assert.Equal(SHA256.HashData([]), Blocker.Good(XsegOp.Hash, Name("hash.missing")).Result[..32]);
        Assert.Equal(XsegErrno.ENOENT, Blocker.Status(XsegOp.Hash, Name("hash.missing"), flags: RequestFlags.MustExist));
    }

    [Fact]
    public void Any_bytes_are_a_name_and_no_two_names_are_one_object()
    {
        var names = new List<byte[]>();
        string prefix = Name("");
        foreach (string odd in (string[])[".", "..", "/", "a/b", "../../x", "a", "A", "%41", "%", "a+", "+", "a+/b", " ", "ü", "a\nb", "~", "%2F", "-", "a.b"])
            names.Add(BlockerHarness.Name(odd + prefix));
        for (int b = 0; b < 256; b += 5) names.Add([(byte)b, .. BlockerHarness.Name(prefix)]);
        foreach (byte last in (byte[])[0, 1, 0xFF])
        {
            byte[] longest = new byte[256];
            Array.Fill(longest, (byte)0xFE);
            BlockerHarness.Name(prefix).CopyTo(longest, 0);
            longest[255] = last;
            names.Add(longest);
            names.Add(longest[..^1]);
        }

        byte[][] distinct = [.. names.DistinctBy(Convert.ToHexString)];
        for (int i = 0; i < distinct.Length; i++)
            Blocker.Good(new Ask(XsegOp.Write, distinct[i], 0, 4) { Payload = BitConverter.GetBytes(i + 1) });
        for (int i = 0; i < distinct.Length; i++)
        {
            Assert.Equal(BitConverter.GetBytes(i + 1), Blocker.Good(new Ask(XsegOp.Read, distinct[i], 0, 4)).Data);
            Assert.Equal(1ul, Blocker.Good(new Ask(XsegOp.Delete, distinct[i])).Serviced);
        }
    }

    [Fact]
    public void An_empty_name_is_no_object()
    {
        Assert.Equal(XsegErrno.EINVAL, Blocker.Do(new Ask(XsegOp.Write, [], 0, 1) { Payload = [1] }).Status);
        Assert.Equal(XsegErrno.EINVAL, Blocker.Status(XsegOp.Truncate, "", 0, 100));
    }

    private static Ask CopyOf(string source, string target, ulong length) =>
        new(XsegOp.Copy, BlockerHarness.Name(target), 0, length) { Source = Encoding.UTF8.GetBytes(source) };

    private Reply Copy(string source, string target, ulong length) => Blocker.Good(CopyOf(source, target, length));
}
