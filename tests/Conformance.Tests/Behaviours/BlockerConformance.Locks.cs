using Archipelago.Conformance.Tests.Harness;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Behaviours;

public abstract partial class BlockerConformance
{
    private static readonly byte[] Alice = Pattern(64, 100), Bob = Pattern(64, 200);

    [Fact]
    public void A_lock_has_one_owner_who_may_take_it_again()
    {
        string name = Name("lock");
        Assert.Equal(0, Lock(XsegOp.Acquire, name, Alice));
        Assert.Equal(0, Lock(XsegOp.Acquire, name, Alice, RequestFlags.NoSync));
        Assert.Equal(XsegErrno.EBUSY, Lock(XsegOp.Acquire, name, Bob, RequestFlags.NoSync));
        Assert.Equal(XsegErrno.EACCES, Lock(XsegOp.Release, name, Bob));
        Assert.Equal(0, Lock(XsegOp.Acquire, name + "2", Bob, RequestFlags.NoSync));
        Assert.Equal(0, Lock(XsegOp.Release, name, Alice));
        Assert.Equal(XsegErrno.ENOENT, Lock(XsegOp.Release, name, Alice));
        Assert.Equal(0, Lock(XsegOp.Acquire, name, Bob, RequestFlags.NoSync));
        Assert.Equal(0, Lock(XsegOp.Release, name, Alice, RequestFlags.Force));
        Assert.Equal(0, Lock(XsegOp.Acquire, name, Alice, RequestFlags.NoSync));
        Assert.Equal(0, Lock(XsegOp.Release, name, Alice));
        Assert.Equal(0, Lock(XsegOp.Release, name + "2", Bob));
    }

    [Fact]
    public void A_lock_is_waited_for()
    {
        string name = Name("waited");
        Assert.Equal(0, Lock(XsegOp.Acquire, name, Alice));
        var waiting = Blocker.Issue(new Ask(XsegOp.Acquire, BlockerHarness.Name(name)) { Cookie = Bob });
        // Answered after it, and yet the other one still waits.
        Assert.Equal(XsegErrno.EBUSY, Lock(XsegOp.Acquire, name, Bob, RequestFlags.NoSync));
        Assert.False(waiting.IsCompleted);
        Assert.Equal(0, Lock(XsegOp.Release, name, Alice));
        Assert.Equal(0, HostThread.Wait(waiting).Status);
        Assert.Equal(0, Lock(XsegOp.Release, name, Bob));
    }

    [Fact]
    public void Who_waits_for_a_lock_until_its_deadline_is_told()
    {
        string name = Name("deadline");
        Assert.Equal(0, Lock(XsegOp.Acquire, name, Alice));
        var reply = Blocker.Do(new Ask(XsegOp.Acquire, BlockerHarness.Name(name)) { Cookie = Bob, DeadlineNanoseconds = 50_000_000 });
        Assert.Equal(XsegErrno.ETIMEDOUT, reply.Status);
        Assert.Equal(0, Lock(XsegOp.Release, name, Alice));
        Assert.Equal(XsegErrno.ENOENT, Lock(XsegOp.Release, name, Bob));
    }

    private int Lock(XsegOp op, string name, byte[] cookie, RequestFlags flags = 0) =>
        Blocker.Do(new Ask(op, BlockerHarness.Name(name)) { Cookie = cookie, Flags = flags }).Status;
}
