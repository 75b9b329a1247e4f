using System.Text;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

public class RefusalTests
{
    private const int O = Rig.ObjectSize;

    public static TheoryData<XsegOp, string, string?, ulong, int, string> Wrong => new()
    {
        { XsegOp.Create, "base", null, O, Errno.EEXIST, "volume base exists already" },
        { XsegOp.Create, "x", null, 0, Errno.EINVAL, "positive multiple of 512" },
        { XsegOp.Create, "x", null, 513, Errno.EINVAL, "positive multiple of 512" },
        { XsegOp.Create, "x", null, 1ul << 60, Errno.EFBIG, "at most" },
        { XsegOp.Create, "a/b", null, O, Errno.EINVAL, "expected 1 to 89" },
        { XsegOp.Create, "a\nb", null, O, Errno.EINVAL, "expected 1 to 89" },
        { XsegOp.Create, "base@x", null, O, Errno.EINVAL, "is a snapshot" },
        { XsegOp.Clone, "x", "base", 0, Errno.EINVAL, "only snapshots can be cloned" },
        { XsegOp.Clone, "x", "base@none", 0, Errno.ENOENT, "no snapshot base@none" },
        { XsegOp.Clone, "x", "none@s1", 0, Errno.ENOENT, "no volume none" },
        { XsegOp.Clone, "x", "base@s1", 512, Errno.EINVAL, "less than those of base@s1" },
        { XsegOp.Clone, "base", "base@s1", 0, Errno.EEXIST, "exists already" },
        { XsegOp.Snapshot, "base", "s1", 0, Errno.EEXIST, "base@s1 exists already" },
        { XsegOp.Snapshot, "base", "a/b", 0, Errno.EINVAL, "expected 1 to 89" },
        { XsegOp.Snapshot, "none", "s1", 0, Errno.ENOENT, "no volume none" },
        { XsegOp.Rollback, "base", "none", 0, Errno.ENOENT, "no snapshot base@none" },
        { XsegOp.Truncate, "base", null, 0, Errno.EINVAL, "positive multiple of 512" },
        { XsegOp.Truncate, "base", null, 1ul << 60, Errno.EFBIG, "at most" },
        { XsegOp.Delete, "base", null, 0, Errno.EBUSY, "has 2 snapshots (s1, s2)" },
        { XsegOp.Delete, "base@s1", null, 0, Errno.EBUSY, "1 clone (clone); flatten" },
        { XsegOp.Delete, "base@none", null, 0, Errno.ENOENT, "no snapshot base@none" },
        { XsegOp.Flatten, "clone", null, 0, Errno.EBUSY, "has snapshots" },
        { XsegOp.Rename, "base", "clone", 0, Errno.EEXIST, "volume clone exists already" },
        { XsegOp.Rename, "base", "base", 0, Errno.EINVAL, "has that name already" },
        { XsegOp.Rename, "base", "a b", 0, Errno.EINVAL, "expected 1 to 89" },
        { XsegOp.Open, "none", null, 0, Errno.ENOENT, "no volume none" },
        { XsegOp.Close, "base", null, 0, Errno.EINVAL, "is not open here" },
        { XsegOp.Close, "none", null, 0, Errno.ENOENT, "no volume none" },
        { XsegOp.Hash, "base@none", null, 0, Errno.ENOENT, "no snapshot base@none" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void What_is_asked_wrongly_gets_its_errno_and_a_sentence(XsegOp op, string name, string? source, ulong length, int errno, string says)
    {
        using var rig = new Rig();
        var world = Scenarios.Family(rig);
        var identity = new UInt128(1, 2);
        var (status, text) = rig.ClientNode.Run(async () =>
        {
            var answer = await rig.Client.Do("maps", op, name, length: length, source: source, identity: identity);
            var why = await rig.Client.Read("maps", $"?{identity:x32}", 0, 0, 1024);
            return (answer.Status, Encoding.UTF8.GetString(why.Data, 0, (int)why.Serviced));
        });
        Assert.Equal(errno, status);
        Assert.Contains(says, text);
        world.Verify();
        rig.UntilIdle();
        Assert.Equal(0, world.Collect(dryRun: true).Unreferenced);
    }
}
