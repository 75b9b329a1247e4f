using Archipelago.Runtime;
using Archipelago.Vlmcd.Format;
using Archipelago.Xseg;

namespace Archipelago.Vlmcd.Tests;

public class BadHeaderTests
{
    [Theory]
    [MemberData(nameof(FormatTests.Damages), MemberType = typeof(FormatTests))]
    public void A_volume_with_a_bad_header_is_refused_and_shown_and_all_others_go_on(string what, int errno, Action<byte[]> damage)
    {
        using var rig = new Rig();
        uint good = rig.CreateAndOpen("good", 1 << 20);
        Assert.Equal(0, rig.Do(XsegOp.Create, "disk", length: 1 << 20).Status);
        var block = new byte[512];
        (FormatTests.Header() with { Id = 1 }).Write(block);
        damage(block);
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Write("blocks", "v.disk", 0, 0, block)).Status);
        foreach (var op in new[] { XsegOp.Open, XsegOp.Info, XsegOp.Truncate, XsegOp.Delete, XsegOp.Close })
            Assert.True(errno == rig.Do(op, "disk", length: 512).Status, $"{what}: {op}");
        Assert.Contains(rig.VlmcdNode.Run(() => Task.FromResult(rig.Vlmcd.Volumes.BadHeaders.Values.ToArray())), fault => fault.Contains("v.disk"));
        Assert.Equal("disk\ngood\n", rig.List());
        Assert.Equal(0, rig.Write("good", good, 0, new byte[4096]).Status);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk", flags: RequestFlags.Force).Status);
        rig.UntilIdle();
        Assert.Equal("good\n", rig.List());
        Assert.Equal(0, rig.Do(XsegOp.Create, "disk", length: 512).Status);
    }

    [Fact]
    public void A_volume_whose_header_is_lost_is_an_error_and_can_be_deleted()
    {
        using var rig = new Rig();
        rig.Do(XsegOp.Create, "disk", length: 1 << 20);
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", XsegOp.Delete, "v.disk")).Status);
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Open, "disk").Status);
        Assert.Equal(Errno.EEXIST, rig.Do(XsegOp.Create, "disk", length: 512).Status);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "disk").Status);
        Assert.Equal(Errno.ENOENT, rig.Do(XsegOp.Open, "disk").Status);
    }

    [Fact]
    public void A_volume_whose_record_is_damaged_is_listed_again_when_it_is_opened()
    {
        using var rig = new Rig();
        rig.Do(XsegOp.Create, "a", length: 1 << 20);
        rig.Do(XsegOp.Create, "b", length: 1 << 20);
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Write("blocks", "c.0000", 0, 0, VolumeTests.Bytes(1, 512))).Status);
        rig.KillVlmcd();
        Assert.Equal("b\n", rig.List());
        Assert.Single(rig.VlmcdNode.Run(() => Task.FromResult(rig.Vlmcd.Volumes.Catalogue.Damaged)));
        rig.Open("a");
        Assert.Equal("a\nb\n", rig.List());
        rig.KillVlmcd();
        Assert.Equal("a\nb\n", rig.List());
    }

    [Fact]
    public void While_the_store_fails_the_catalogue_is_an_error_and_then_it_is_there()
    {
        using var rig = new Rig();
        rig.Do(XsegOp.Create, "disk", length: 1 << 20);
        Rules(rig, "any:EIO");
        rig.KillVlmcd();
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Open, "disk").Status);
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Info, "").Status);
        Rules(rig);
        rig.Open("disk");
        Assert.Equal("disk\n", rig.List());
    }

    [Fact]
    public void A_deletion_whose_record_could_not_be_written_leaves_a_volume_that_is_safe_to_use()
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", 1 << 20);
        rig.Do(XsegOp.Close, "disk");
        rig.Store.Run(() => Task.FromResult(rig.Cut.LieAboutWrites = 1));
        Assert.Equal(Errno.EIO, rig.Do(XsegOp.Delete, "disk").Status);
        Assert.Equal(flow, rig.Open("disk"));
        Assert.Equal(0, rig.Write("disk", flow, 0, VolumeTests.Bytes(1, 512)).Status);
        rig.KillVlmcd();
        Assert.Equal(VolumeTests.Bytes(1, 512), rig.Read("disk", flow, 0, 512).Data);
    }

    private static void Rules(Rig rig, params string[] rules) => rig.Store.Run(async () =>
    {
        await rig.Memd.ChangeAsync(rig.Memd.Options with { Rules = [.. rules.Select(Memd.MemdRule.Parse)] });
        return true;
    });
}
