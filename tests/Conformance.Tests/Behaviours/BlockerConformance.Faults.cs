using Archipelago.Conformance.Tests.Harness;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Behaviours;

public abstract partial class BlockerConformance
{
    [Fact]
    public void An_op_that_blockers_do_not_know_is_answered()
    {
        foreach (var op in (XsegOp[])[XsegOp.Open, XsegOp.Close, XsegOp.Create, XsegOp.Clone, XsegOp.Snapshot, XsegOp.Rename, XsegOp.MapRead, XsegOp.MapWrite, XsegOp.Prefetch])
            Assert.Equal(XsegErrno.ENOTSUP, Blocker.Status(op, Name("unknown"), 0, 512));
    }

    [Fact]
    public void A_write_without_pages_is_refused_and_the_blocker_goes_on()
    {
        Assert.Equal(XsegErrno.EBADMSG, Blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name(Name("bad")), 0, 8192)).Status);
        // More extents than a slot holds, and no page for the list of the others.
        Blocker.Write(Name("bad2"), 0, Pattern(200_000, 18));
        Assert.Equal(XsegErrno.EBADMSG, Blocker.Do(new Ask(XsegOp.Read, BlockerHarness.Name(Name("bad2")), 0, 200_000) { NoList = true }).Status);
        Assert.Equal(Pattern(200_000, 18), Blocker.Read(Name("bad2"), 0, 200_000).Data);
    }

    [Fact]
    public void A_part_that_an_earlier_execution_has_written_is_left_alone()
    {
        string name = Name("spent");
        byte[] old = Pattern(5 * 4096, 19), fresh = Pattern(4 * 4096, 20);
        Blocker.Write(name, 0, old);
        Blocker.Good(new Ask(XsegOp.Write, BlockerHarness.Name(name), 2048, 4 * 4096) { Payload = fresh, Spent = 2 });
        // Extent 2 of the range holds page 2 of the object.
        fresh.AsSpan(0, 6144).CopyTo(old.AsSpan(2048));
        fresh.AsSpan(10_240).CopyTo(old.AsSpan(3 * 4096));
        Assert.Equal(old, Blocker.Read(name, 0, (ulong)old.Length).Data);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Any_sequence_of_operations_leaves_what_a_model_says(int seed)
    {
        var random = new Random(seed);
        var model = new Dictionary<string, byte[]?>();
        string[] names = [.. Enumerable.Range(0, 3).Select(i => Name($"model{seed}.{i}"))];
        foreach (string name in names) model[name] = null;
        for (int step = 0; step < 250; step++) Step(random, model, names);
        foreach (string name in names)
        {
            Assert.Equal((ulong?)model[name]?.Length, Blocker.Info(name));
            byte[] expected = new byte[MaxObject];
            model[name]?.CopyTo(expected, 0);
            Assert.Equal(expected, Blocker.Read(name, 0, MaxObject).Data);
        }
    }

    private void Step(Random random, Dictionary<string, byte[]?> model, string[] names)
    {
        string name = names[random.Next(names.Length)];
        byte[]? old = model[name];
        int grain = random.Next(3) switch { 0 => 4096, 1 => 512, _ => 1 };
        int offset = random.Next(300_000) / grain * grain, length = Math.Max(grain, random.Next(random.Next(2) == 0 ? 9000 : 150_000) / grain * grain);
        var flags = random.Next(10) == 0 ? RequestFlags.ForceUnitAccess : RequestFlags.None;
        switch (random.Next(20))
        {
            case < 8:
                byte[] payload = Pattern(length, random.Next());
                Blocker.Write(name, (ulong)offset, payload, flags);
                payload.CopyTo((model[name] = Sized(old, Math.Max(old?.Length ?? 0, offset + length))).AsSpan(offset));
                break;
            case < 14:
                byte[] expected = new byte[length];
                if (old != null && offset < old.Length) old.AsSpan(offset, Math.Min(length, old.Length - offset)).CopyTo(expected);
                Assert.Equal(expected, Blocker.Read(name, (ulong)offset, (ulong)length, random.Next(2) == 0).Data);
                break;
            case 14:
                Blocker.Good(XsegOp.Discard, name, (ulong)offset, (ulong)length, flags);
                if (old != null && offset < old.Length) old.AsSpan(offset, Math.Min(length, old.Length - offset)).Clear();
                break;
            case 15:
                Blocker.Good(XsegOp.WriteZeroes, name, (ulong)offset, (ulong)length, flags);
                if (old != null) (model[name] = Sized(old, Math.Max(old.Length, offset + length))).AsSpan(offset, length).Clear();
                break;
            case 16:
                Blocker.Good(XsegOp.Truncate, name, 0, (ulong)offset, flags);
                model[name] = Sized(old, offset);
                break;
            case 17:
                string source = names[random.Next(names.Length)];
                int status = Blocker.Do(CopyOf(source, name, (ulong)offset) with { Flags = flags }).Status;
                Assert.Equal(model[source] == null ? XsegErrno.ENOENT : 0, status);
                if (model[source] is { } content) model[name] = Sized(content, Math.Min(offset, content.Length));
                break;
            case 18:
                if (random.Next(3) != 0) break;
                Assert.Equal(old == null ? 0ul : 1ul, Blocker.Good(XsegOp.Delete, name, flags: flags).Serviced);
                model[name] = null;
                break;
            default:
                Blocker.Good(XsegOp.Flush, "", flow: (uint)random.Next(2));
                break;
        }
    }

    private static byte[] Sized(byte[]? old, int size)
    {
        byte[] sized = new byte[size];
        old?.AsSpan(0, Math.Min(old.Length, size)).CopyTo(sized);
        return sized;
    }
}
