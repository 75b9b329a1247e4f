using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Tests;

public class VolumeTests
{
    private const ulong MiB = 1 << 20;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_volume_lives_from_create_to_delete(bool oneReactor)
    {
        using var rig = new Rig(oneReactor);
        Assert.Equal("", rig.List());
        Assert.Equal(0, rig.Do(XsegOp.Create, "disk", length: MiB).Status);
        Assert.Equal(Errno.EEXIST, rig.Do(XsegOp.Create, "disk", length: MiB).Status);
        Assert.Equal(0, rig.Do(XsegOp.Create, "a-disk", length: 512).Status);
        Assert.Equal("a-disk\ndisk\n", rig.List());
        Assert.Equal(MiB, rig.Do(XsegOp.Info, "disk").Serviced);

        var open = rig.Do(XsegOp.Open, "disk");
        Assert.Equal((0, MiB, (ulong)Rig.ObjectSize), (open.Status, open.Serviced, open.ObjectSize));
        var data = Bytes(1, 5000 / 512 * 512);
        Assert.Equal((0, (ulong)data.Length), Outcome(rig.Write("disk", open.Flow, 3584, data)));
        Assert.Equal(data, rig.Read("disk", open.Flow, 3584, (ulong)data.Length).Data);
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Delete, "disk").Status);
        Assert.Equal(0, rig.Do(XsegOp.Flush, "disk", open.Flow).Status);
        Assert.Equal(0, rig.Do(XsegOp.Close, "disk").Status);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
        Assert.Equal(Errno.ENOENT, rig.Do(XsegOp.Delete, "disk").Status);
        Assert.Equal(Errno.ENOENT, rig.Do(XsegOp.Open, "disk").Status);
        Assert.Equal(Errno.ENOENT, rig.Do(XsegOp.Info, "disk").Status);
        Assert.Equal("a-disk\n", rig.List());
        rig.UntilIdle();
        Assert.Equal("dnv", Kinds(rig));
    }

    [Fact]
    public void A_name_is_free_again_when_delete_is_answered_and_the_new_volume_is_empty()
    {
        using var rig = new Rig();
        for (int round = 0; round < 20; round++)
        {
            uint flow = rig.CreateAndOpen("disk", MiB);
            Assert.DoesNotContain(rig.Read("disk", flow, 0, MiB).Data, value => value != 0);
            Assert.Equal(0, rig.Write("disk", flow, 0, Bytes(round, (int)MiB)).Status);
            Assert.Equal(0, rig.Do(XsegOp.Close, "disk").Status);
            Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
        }

        rig.UntilIdle();
        Assert.Empty(rig.Objects());
    }

    [Fact]
    public void A_grow_shows_zeros_and_does_not_wait_for_all_that_a_shrink_cut_off()
    {
        const ulong Objects = 20_000, End = Objects * Rig.ObjectSize;
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", End);
        foreach (ulong at in (ulong[])[MiB, End - 4096]) Assert.Equal(0, rig.Write("disk", flow, at, Bytes(1, 4096)).Status);
        Assert.Equal(0, rig.Do(XsegOp.Truncate, "disk", length: MiB - 512).Status);
        Assert.Equal(0, rig.Do(XsegOp.Truncate, "disk", length: 2 * MiB).Status);
        Assert.DoesNotContain(rig.Read("disk", flow, MiB, 4096).Data, value => value != 0);
        // Written after the grow: the rest of the trim, which goes on, leaves it alone.
        Assert.Equal(0, rig.Write("disk", flow, MiB, Bytes(2, 4096)).Status);
        Assert.Equal(Bytes(2, 4096), rig.Read("disk", flow, MiB, 4096).Data);
        rig.UntilIdle();
        Assert.Equal(Bytes(2, 4096), rig.Read("disk", flow, MiB, 4096).Data);
        Assert.Equal(1, rig.Count('o'));
    }

    [Fact]
    public void A_volume_has_no_more_objects_than_can_be_deleted_in_a_day()
    {
        using var rig = new Rig();
        Assert.Equal(Errno.EFBIG, rig.Do(XsegOp.Create, "huge", length: 1ul << 60).Status);
        Assert.Equal(Errno.EFBIG, rig.Do(XsegOp.Create, "huge", length: (1ul << 38) + 512).Status);
    }

    /// <summary>Nobody awaits background work: an exception in it must end neither it nor the order of a stop.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Background_deletions_go_on_after_an_error_that_nobody_expects(bool shrink)
    {
        using var rig = new Rig(oneReactor: true);
        uint flow = rig.CreateAndOpen("disk", MiB);
        Assert.Equal(0, rig.Write("disk", flow, 0, Bytes(1, (int)MiB)).Status);
        rig.Store.Run(() => Task.FromResult(rig.Cut.ThrowsOnceAt = XsegOp.Delete));
        if (shrink)
        {
            Assert.Equal(0, rig.Do(XsegOp.Truncate, "disk", length: (ulong)Rig.ObjectSize).Status);
        }
        else
        {
            Assert.Equal(0, rig.Do(XsegOp.Close, "disk").Status);
            Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
        }

        rig.UntilIdle();
        Assert.Null(rig.Store.Run(() => Task.FromResult(rig.Cut.ThrowsOnceAt)));
        Assert.Equal(shrink ? 1 : 0, rig.Count('o'));
    }

    [Fact]
    public void A_list_waits_for_pages_that_slow_readers_hold()
    {
        using var rig = new Rig();
        Assert.Equal(0, rig.Do(XsegOp.Create, "disk", length: MiB).Status);
        Assert.Equal("disk\n", rig.List());
        int available = rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.Context.Port.Pages.Count + rig.Mapperd.Context.Port.Limbo.Count));
        var lists = rig.ClientNode.Run(async () =>
        {
            var context = rig.Client.Context;
            var route = context.OpenRoute("volumes");
            var requests = new List<Request>();
            var answers = new List<Task<int>>();
            for (int i = 0; i < available + 3; i++)
            {
                var request = await context.AllocateAsync();
                context.Port.Prepare(request, XsegOp.Read, 0, [], Hash128.Of([]), 0, 4096);
                requests.Add(request);
                answers.Add(route.SubmitAsync(request).AsTask());
            }

            // Reading the catalogue takes pages, too: not all of them can be lent.
            while (answers.Count(answer => answer.IsCompleted) < available / 2) await context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
            Assert.Contains(answers, answer => !answer.IsCompleted);
            var read = new List<string>();
            while (answers.Count > 0)
            {
                // Who waits for one answer and keeps others from being freed has itself to blame.
                int done = answers.FindIndex(answer => answer.IsCompleted);
                if (done < 0)
                {
                    await context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
                    continue;
                }

                Assert.Equal(0, await answers[done]);
                read.Add(Text(requests[done]));
                context.Free(requests[done]);
                answers.RemoveAt(done);
                requests.RemoveAt(done);
            }

            return read;
        });
        Assert.All(lists, list => Assert.Equal("disk\n", list));

        static unsafe string Text(Request request)
        {
            Assert.True(request.TryData(out var data));
            byte* page = data.Readable(0);
            Assert.True(page != null);
            return System.Text.Encoding.ASCII.GetString(page, (int)request.Serviced);
        }
    }

    [Fact]
    public void Requests_splits_and_volumes_in_use_are_counted()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", MiB);
        rig.Write("disk", flow, 0, Bytes(1, 512));
        rig.Read("disk", flow, (ulong)Rig.ObjectSize - 512, 1024);
        rig.Do(XsegOp.Flush, "disk", flow);
        var statistics = rig.Vlmcd.Statistics;
        // The first request finds the volume loaded: OPEN has done that.
        Assert.Equal((3, 1, 1), (statistics.Requests, statistics.Splits, statistics.Loaded));
        rig.Do(XsegOp.Close, "disk");
        rig.UntilIdle();
        Assert.Equal(0, statistics.Loaded);
    }

    [Fact]
    public void What_is_asked_wrongly_is_refused()
    {
        using var rig = new Rig();
        foreach (ulong size in new ulong[] { 0, 511, 513 }) Assert.Equal(Errno.EINVAL, rig.Do(XsegOp.Create, "x", length: size).Status);
        Assert.Equal(Errno.EFBIG, rig.Do(XsegOp.Create, "x", length: 1ul << 61).Status);
        foreach (string name in new[] { ".x", "a/b", "a b", new string('n', 90) }) Assert.Equal(Errno.EINVAL, rig.Do(XsegOp.Create, name, length: 512).Status);
        Assert.Equal(Errno.EINVAL, rig.Read("nothing", 0, 0, 512).Status);
        uint flow = rig.CreateAndOpen("x", 64 << 10);
        Assert.Equal(Errno.EINVAL, rig.Read("x", flow, 1, 512).Status);
        Assert.Equal(Errno.EINVAL, rig.Read("x", flow, 0, 100).Status);
        Assert.Equal(Errno.EINVAL, rig.Read("x", flow, 64 << 10, 512).Status);
        Assert.Equal(Errno.EINVAL, rig.Read("x", flow, 1ul << 62, 1024).Status);
        Assert.Equal(Errno.EINVAL, rig.Do(XsegOp.Discard, "x", flow, 0, 65 << 10).Status);
        Assert.Equal(Errno.ENOSPC, rig.Write("x", flow, 64512, new byte[2048]).Status);
        Assert.Equal(Errno.ENOSPC, rig.Do(XsegOp.WriteZeroes, "x", flow, 0, 65 << 10).Status);
        Assert.Equal(Errno.EINVAL, rig.Read("x", flow + 1, 0, 512).Status);
        Assert.Equal(Errno.EINVAL, rig.Read("x", 0, 0, 512).Status);
        Assert.Equal(Errno.EINVAL, rig.Do(XsegOp.Snapshot, "x", flow).Status);
        Assert.Equal(0, rig.Do(XsegOp.Ping, "x").Status);
        Assert.Equal((0, 0ul), Outcome(rig.Do(XsegOp.Discard, "x", flow, 512, 0)));
    }

    [Fact]
    public void A_request_over_many_objects_is_one_answer()
    {
        using var rig = new Rig(fanOut: 3);
        uint flow = rig.CreateAndOpen("disk", 4 * MiB);
        var data = Bytes(7, (int)(3 * MiB) + 512);
        Assert.Equal((0, (ulong)data.Length), Outcome(rig.Write("disk", flow, 1536, data)));
        Assert.Equal(data, rig.Read("disk", flow, 1536, (ulong)data.Length).Data);
        Assert.Equal(data, rig.Read("disk", flow, 1536, (ulong)data.Length, ownPages: true).Data);
        Assert.Equal((0, 2 * MiB), Outcome(rig.Do(XsegOp.Discard, "disk", flow, 1536, 2 * MiB)));
        Array.Clear(data, 0, (int)(2 * MiB));
        Assert.Equal(data, rig.Read("disk", flow, 1536, (ulong)data.Length).Data);
    }

    [Fact]
    public void The_first_error_wins_all_parts_are_awaited_and_the_volume_goes_on()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", MiB);
        rig.Store.Run(async () =>
        {
            await rig.Memd.ChangeAsync(rig.Memd.Options with { Rules = [Memd.MemdRule.Parse("write:ENOSPC:x1")], Latency = TimeSpan.FromMilliseconds(2) });
            return true;
        });
        var answer = rig.Write("disk", flow, 0, Bytes(1, 8 * Rig.ObjectSize));
        Assert.Equal(Errno.ENOSPC, answer.Status);
        Assert.Equal(7ul * Rig.ObjectSize, answer.Serviced);
        Assert.Equal(0, rig.Write("disk", flow, 0, Bytes(1, 8 * Rig.ObjectSize)).Status);
        Assert.Equal(Bytes(1, 8 * Rig.ObjectSize), rig.Read("disk", flow, 0, 8 * Rig.ObjectSize).Data);
    }

    [Fact]
    public void Holes_are_told_by_the_map_and_neighbours_are_one_entry()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", 1ul << 37);
        const ulong O = Rig.ObjectSize;
        rig.Write("disk", flow, 2 * O, Bytes(1, 2 * (int)O));
        var map = rig.Do(XsegOp.MapRead, "disk", flow, 512, 1ul << 36);
        Assert.Equal(0, map.Status);
        Assert.Equal([(2 * O - 512, 1u), (2 * O, 0u), (252 * O, 1u)], Entries(map.Data));
        Assert.Equal([(512, 0u)], Entries(rig.Do(XsegOp.MapRead, "disk", flow, 3 * O, 512).Data));
        Assert.Equal(Errno.EINVAL, rig.Do(XsegOp.MapRead, "disk", flow, 1ul << 37, 512).Status);
        Assert.Equal(0, rig.Do(XsegOp.Discard, "disk", flow, 2 * O, O).Status);
        Assert.Equal([(3 * O, 1u), (O, 0u)], Entries(rig.Do(XsegOp.MapRead, "disk", flow, 0, 4 * O).Data));
    }

    [Fact]
    public void What_the_store_fails_to_tell_of_is_no_hole_and_what_lies_before_it_is_answered()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", MiB);
        const ulong O = Rig.ObjectSize;
        rig.Write("disk", flow, 4 * O, Bytes(1, (int)O));
        rig.OnStore(() => rig.Cut.Fail = request => request.Op == XsegOp.Info && request.Target.EndsWith("2"u8) ? Errno.EIO : 0);
        Assert.Equal([(2 * O, 1u)], Map(0));
        Assert.Equal([(O, 0u)], Map(2));
        Assert.Equal([(O, 1u), (O, 0u), (3 * O, 1u)], Map(3));
        // That the volume is another host's by now is told whatever lies before.
        rig.OnStore(() => rig.Cut.Fail = request => request.Op == XsegOp.Info && request.Target.EndsWith("2"u8) ? Errno.ESTALE : 0);
        Assert.Equal(Errno.ESTALE, rig.Do(XsegOp.MapRead, "disk", flow, 0, 8 * O).Status);

        List<(ulong, uint)> Map(ulong from) => Entries(rig.Do(XsegOp.MapRead, "disk", flow, from * O, (8 - from) * O).Data);
    }

    [Fact]
    public void Open_resets_has_flushed_only_for_the_first_and_a_dead_opener_does_not_count()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", MiB);
        Flushed(rig, flow, 1);
        Assert.Equal(flow, rig.Open("disk"));
        Assert.Equal(1, Flushed(rig, flow));
        rig.Do(XsegOp.Close, "disk");
        rig.Do(XsegOp.Close, "disk");
        var node = rig.NewNode();
        var other = node.Start(new Client(), "other", null, 64);
        Assert.Equal(0, node.Run(() => other.Do("volumes", XsegOp.Open, "disk")).Status);
        Assert.Equal(0, Flushed(rig, flow));
        Assert.Equal(Errno.EBUSY, rig.Do(XsegOp.Delete, "disk").Status);
        node.Kill();
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
    }

    [Fact]
    public void The_list_may_be_longer_than_a_page_and_be_read_in_pieces()
    {
        using var rig = new Rig();
        var names = Enumerable.Range(0, 150).Select(i => $"volume-with-quite-a-long-name-{i:d4}").ToArray();
        foreach (string name in names) Assert.Equal(0, rig.Do(XsegOp.Create, name, length: 512).Status);
        string all = string.Concat(names.Select(name => name + "\n"));
        Assert.Equal((ulong)all.Length, rig.Do(XsegOp.Info, "").Serviced);
        foreach (bool own in new[] { false, true })
        {
            var text = new System.Text.StringBuilder();
            for (ulong at = 0; ; at += 1000)
            {
                var piece = rig.Read("", 0, at, 1000, own);
                Assert.Equal(0, piece.Status);
                if (piece.Serviced == 0) break;
                text.Append(System.Text.Encoding.ASCII.GetString(piece.Data, 0, (int)piece.Serviced));
            }

            Assert.Equal(all, text.ToString());
        }
    }

    [Fact]
    public void Slots_may_run_out_and_every_request_is_served()
    {
        using var rig = new Rig(slots: 16);
        uint flow = rig.CreateAndOpen("disk", MiB);
        rig.Store.Run(async () =>
        {
            await rig.Memd.ChangeAsync(rig.Memd.Options with { Latency = TimeSpan.FromMicroseconds(200) });
            return true;
        });
        var data = Bytes(3, 8 * Rig.ObjectSize);
        Assert.True(rig.ClientNode.Run(async () =>
        {
            var all = Enumerable.Range(0, 8).Select(i => rig.Client.Write("volumes", "disk", flow, (ulong)i * 8 * Rig.ObjectSize, data)).ToArray();
            foreach (var one in all) Assert.Equal(0, (await one).Status);
            return true;
        }));
        for (int i = 0; i < 8; i++) Assert.Equal(data, rig.Read("disk", flow, (ulong)i * 8 * Rig.ObjectSize, (ulong)data.Length).Data);
    }

    internal static (int, ulong) Outcome(Answer answer) => (answer.Status, answer.Serviced);

    internal static byte[] Bytes(int seed, int count)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static List<(ulong, uint)> Entries(byte[] bytes)
    {
        var entries = new List<(ulong, uint)>();
        for (int i = 0; i < bytes.Length; i += 16) entries.Add((BitConverter.ToUInt64(bytes, i), BitConverter.ToUInt32(bytes, i + 8)));
        return entries;
    }

    /// <summary>The kinds of the objects that the store holds.</summary>
    private static string Kinds(Rig rig) => string.Concat(rig.Objects().Select(name => name[0]).Order());

    private static unsafe int Flushed(Rig rig, uint flow, int set = -1)
    {
        var entry = rig.ClientNode.Segment.FlowAt(flow);
        if (set >= 0) Shared.Store(ref entry->HasFlushed, (byte)set);
        return Volatile.Read(ref entry->HasFlushed);
    }
}
