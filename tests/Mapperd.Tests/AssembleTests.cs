using System.Text;
using Archipelago.Mapperd.Control;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>Volumes that are made of objects that the store holds: they hold what these held, or there is no volume and nothing of it.</summary>
public class AssembleTests
{
    private const int O = Rig.ObjectSize;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_volume_of_objects_holds_what_they_held_and_does_not_need_them(bool oneReactor)
    {
        using var rig = new Rig(oneReactor);
        var world = new World(rig);
        Op.WriteSources(rig);
        // A hole, a short object, one twice, and a size that goes beyond the list.
        world.Run(Op.Assemble("disk", ["x1", "", "xs", "x1", "x with spaces/ü"], 7 * O + 512));
        world.Verify();
        foreach (string source in Op.Sources.Keys) Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", XsegOp.Delete, source)).Status);
        if (!oneReactor) rig.Kill(mapperd: true, vlmcd: true);
        world.Verify();
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", O - 512, Bytes.Of(5, O)));
        world.Run(Op.Snapshot("disk", "s"));
        world.Run(Op.Write("disk", 2 * O, Bytes.Of(6, 3 * O)));
        world.Verify();
        Assert.Empty(world.Check().Findings);
        Assert.Equal(0, world.Check().Result.Unreferenced);
        world.DeleteAll();
    }

    [Fact]
    public void What_was_copied_is_known_to_exist_so_that_its_loss_is_no_zeros()
    {
        using var rig = new Rig();
        var world = new World(rig);
        Op.WriteSources(rig);
        world.Run(Op.Assemble("disk", ["x1", ""], 0));
        string copy = rig.Objects().Single(name => name.StartsWith("o.", StringComparison.Ordinal));
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", XsegOp.Delete, copy)).Status);
        Assert.Equal(copy, Assert.Single(world.Check().Findings).Object);
        uint flow = rig.Open("disk");
        Assert.Equal(Errno.EIO, rig.Read("disk", flow, 0, 512).Status);
        Assert.Equal(0, rig.Read("disk", flow, O, 512).Status);
    }

    public static TheoryData<string, int, string> Bad => new()
    {
        { "x1,gone", Errno.ENOENT, "line 2 of the list, \"gone\"" },
        { "x1,gone,xl,lost", Errno.ENOENT, "line 2 of the list" },
        { ",xl", Errno.EINVAL, "line 2 of the list, \"xl\"" },
        { "x1,n.disk", Errno.EINVAL, "line 2 of the list" },
        { "o.00000000000001.0000000000", Errno.EINVAL, "clone a snapshot" },
        { "v.0000000000000001", Errno.EINVAL, "line 1" },
        { "x1," + new string('x', 257), Errno.EINVAL, "a name of 257 bytes" },
        { "", Errno.EINVAL, "size 0" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void A_list_that_cannot_be_is_refused_with_the_line_and_leaves_nothing(string names, int errno, string why)
    {
        using var rig = new Rig();
        var world = new World(rig);
        Op.WriteSources(rig);
        int before = rig.Objects().Count;
        Assert.Equal(errno, world.Send(Op.Assemble("disk", names.Length == 0 ? [] : names.Split(','), 0)).Status);
        Assert.Contains(why, world.Refusals());
        Assert.Equal(before, rig.Objects().Count);
        Assert.Equal("", rig.List());
        world.Run(Op.Assemble("disk", ["x1"], 0));
        Assert.Equal(Errno.EEXIST, world.Send(Op.Assemble("disk", ["x1"], 0)).Status);
        Assert.Equal(Errno.EINVAL, world.Send(Op.Assemble("other", ["x1", "x1"], O)).Status);
        Assert.Equal(Errno.EINVAL, world.Send(Op.Assemble("other", ["x1", "x1"], O + 512)).Status);
        Assert.Contains("room for 512", world.Refusals());
        world.Verify();
    }

    [Fact]
    public void Data_that_is_no_list_is_refused()
    {
        using var rig = new Rig();
        var random = new Random(4);
        for (int i = 0; i < 300; i++)
        {
            byte[] noise = Bytes.Of(i, random.Next(1, 200));
            if (i % 2 == 0 && noise.Length > 20)
            {
                noise.AsSpan(0, 16).Clear();
                noise[17] = 0;
            }

            int status = rig.ClientNode.Run(() => rig.Client.Do("volumes", XsegOp.Create, "disk", 0, 0, (ulong)noise.Length, RequestFlags.List, data: noise)).Status;
            Assert.True(status is Errno.EINVAL or Errno.ENOENT, $"{i}: {status}");
        }

        // No pages at all, and too many bytes.
        Assert.Equal(Errno.EBADMSG, rig.Do(XsegOp.Create, "disk", length: 100, flags: RequestFlags.List).Status);
        Assert.Equal(Errno.EBADMSG, rig.Do(XsegOp.Create, "disk", length: 5 << 20, flags: RequestFlags.List).Status);
        Assert.Equal("", rig.List());
    }

    [Fact]
    public void A_list_over_two_chunks_of_the_map_is_made_with_progress_and_can_be_ended()
    {
        using var rig = new Rig();
        var world = new World(rig);
        Op.WriteSources(rig);
        const int Count = MapGeometry.ChunkEntries + 100;
        var request = new AssembleRequest([.. Enumerable.Range(0, Count).Select(i => i % 1000 == 0 || i == Count - 1 ? "x1" : null)]);
        var steps = Run(rig, request, CancellationToken.None);
        Assert.Equal("done", steps[^1].Step);
        Assert.Equal(Count, steps[^1].Of);
        uint flow = rig.Open("disk", RequestFlags.ReadOnly);
        Assert.Equal(Op.Sources["x1"], rig.Read("disk", flow, (ulong)(Count - 1) * O, O).Data);
        Assert.Equal(Op.Sources["x1"], rig.Read("disk", flow, 7000ul * O, O).Data);
        Assert.Equal(new byte[O], rig.Read("disk", flow, 7001ul * O, O).Data);
        Assert.Equal(0, rig.Do(XsegOp.Close, "disk", flags: RequestFlags.ReadOnly).Status);
        Assert.Empty(world.Check().Findings);
        Assert.Equal(2, rig.Count('m'));
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
        rig.UntilIdle();

        using var cancel = new CancellationTokenSource();
        int copies = 0;
        rig.OnStore(() => rig.Cut.Stop = one =>
        {
            if (one.Op == XsegOp.Copy && ++copies == 5) cancel.Cancel();
            return false;
        });
        Assert.Equal(Errno.ECANCELED, Assert.IsType<ErrnoException>(Record.Exception(() => Run(rig, request, cancel.Token)) is AggregateException all ? all.InnerException : null).Errno);
        Assert.Equal(0, rig.Count('o') + rig.Count('v') + rig.Count('d') + rig.Count('m'));
    }

    [Fact]
    public void The_collector_leaves_a_volume_alone_that_is_being_made()
    {
        using var rig = new Rig();
        var world = new World(rig);
        Op.WriteSources(rig);
        bool isFirst = true;
        // It has copied some, and waits for the last.
        rig.OnStore(() => rig.Cut.Stop = one => one.Op == XsegOp.Copy && one.Source.SequenceEqual("xs"u8) && isFirst && !(isFirst = false));
        var op = Op.Assemble("disk", ["x1", "x1", "", "x1", "xs"], 0);
        Assert.Equal(0, world.State.Apply(op));
        var made = rig.ClientNode.Begin(() => world.SendAsync(op));
        rig.Store.Until(() => rig.Cut.Stopped > 0, "it does not copy");
        Assert.Equal(0, world.Collect().Unreferenced);
        Assert.Empty(world.Check(objects: false).Findings);
        Assert.Equal("", rig.List());
        rig.OnStore(() =>
        {
            rig.Cut.Go();
            return true;
        });
        Assert.Equal(0, rig.ClientNode.Run(() => made).Status);
        world.Verify();
        world.DeleteAll();
    }

    private static List<AssembleItem> Run(Rig rig, AssembleRequest request, CancellationToken cancel) => rig.MapperdNode.Run(async () =>
    {
        var items = new List<AssembleItem>();
        await rig.Mapperd.Volumes.AssembleAsync("disk", request, item =>
        {
            items.Add(item);
            return default;
        }, cancel);
        return items;
    });
}
