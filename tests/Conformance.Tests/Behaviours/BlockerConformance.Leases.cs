using System.Diagnostics;
using Archipelago.Conformance.Tests.Harness;
using Archipelago.Locks;
using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Behaviours;

/// <summary>Leases, epochs and the gate. What a lease's end decides is proved in virtual time by Locks.Tests; here it comes when it comes.</summary>
public abstract partial class BlockerConformance
{
    private const ulong Millisecond = 1_000_000, Hour = 3_600_000 * Millisecond;
    private static readonly byte[] Sector = Pattern(512, 1);
    private readonly ulong _id = (ulong)Random.Shared.NextInt64(1, long.MaxValue);

    /// <summary>The address of an instance of this kind of blocker that is no more.</summary>
    protected virtual string DeadAddress => "dead";

    private string VolumeLock => System.Text.Encoding.ASCII.GetString(LockName.Of(_id));

    [Fact]
    public void A_lock_says_who_holds_it_and_its_epoch_counts_the_holders()
    {
        Assert.Equal((0, 1ul), Take(Alice));
        Assert.Equal((0, 1ul), Take(Alice));
        var record = Record();
        Assert.Equal((true, 1ul, 1ul, Hour, "host7 pid 123", ""), (record.Held, record.Epoch, record.Renewals, record.Lease, record.Owner, record.Fence));
        Assert.True(record.IsOf(Alice));
        Assert.NotEmpty(record.Address);
        Assert.Equal(512ul, Blocker.Info(VolumeLock));
        Assert.Equal(XsegErrno.EBUSY, Take(Bob).Status);
        Assert.Equal(0, Lock(XsegOp.Release, VolumeLock, Alice));
        Assert.Equal((false, 1ul), (Record().Held, Record().Epoch));
        Assert.Equal((0, 2ul), Take(Bob));
        Assert.Equal(0, Lock(XsegOp.Release, VolumeLock, Alice, RequestFlags.Force));
        Assert.Equal((false, 3ul, ""), (Record().Held, Record().Epoch, Record().Fence));
        Assert.Equal((0, 4ul), Take(Alice));
    }

    [Fact]
    public void A_cookie_is_never_written_into()
    {
        var reply = Blocker.Do(Ask(Alice));
        Assert.Equal(Alice, reply.Result);
    }

    [Fact]
    public void Who_waits_gets_a_lock_whose_lease_is_over_and_the_old_holders_changes_are_refused()
    {
        Assert.Equal((0, 1ul), Take(Alice, lease: 50 * Millisecond));
        Blocker.Bind(1, _id, 1);
        string name = Name("guarded");
        var reply = Blocker.Do(Ask(Bob, flow: 2, flags: 0) with { DeadlineNanoseconds = 60_000 * Millisecond });
        Assert.Equal((0, 2ul), (reply.Status, reply.Serviced));
        Blocker.Bind(2, _id, 2);
        Assert.Equal(XsegErrno.ESTALE, WriteStatus(name, 1));
        Assert.Equal(0, WriteStatus(name, 2));
        Assert.Equal(0, WriteStatus(name, 3));
    }

    [Fact]
    public void Attempts_that_do_not_wait_get_it_too_in_the_end()
    {
        Assert.Equal((0, 1ul), Take(Alice, lease: 50 * Millisecond));
        var clock = Stopwatch.StartNew();
        int status = XsegErrno.EBUSY, attempts = 0;
        for (; status == XsegErrno.EBUSY && clock.Elapsed < TimeSpan.FromSeconds(60); attempts++) status = Take(Bob).Status;
        Assert.Equal(0, status);
        Assert.True(attempts > 1);
        Assert.Equal(2ul, Record().Epoch);
    }

    [Fact]
    public void Every_change_of_a_flow_whose_lock_was_broken_is_refused_and_nothing_else()
    {
        string name = Name("guarded"), other = Name("other");
        Blocker.Write(name, 0, Sector);
        Blocker.Write(other, 0, Sector);
        Assert.Equal((0, 1ul), Take(Alice));
        Blocker.Bind(1, _id, 1);
        Assert.Equal(0, WriteStatus(name, 1));
        Assert.Equal(0, Lock(XsegOp.Release, VolumeLock, Bob, RequestFlags.Force));

        Assert.Equal(XsegErrno.ESTALE, WriteStatus(name, 1));
        Assert.Equal(XsegErrno.ESTALE, Blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name(name), 0, 1024) { Payload = [.. Sector, .. Sector], Flags = RequestFlags.Compare }).Status);
        foreach (var op in (XsegOp[])[XsegOp.Discard, XsegOp.WriteZeroes, XsegOp.Truncate, XsegOp.Delete]) Assert.Equal((op, XsegErrno.ESTALE), (op, Blocker.Status(op, name, 0, 100)));
        Assert.Equal(XsegErrno.ESTALE, Blocker.Do(new Ask(XsegOp.Copy, BlockerHarness.Name(name), 0, 512) { Source = BlockerHarness.Name(other) }).Status);
        Assert.Equal(Sector, Blocker.Read(name, 0, 512).Data);
        Assert.Equal(512ul, Blocker.Info(name));
        foreach (var op in (XsegOp[])[XsegOp.Hash, XsegOp.Flush, XsegOp.Ping]) Assert.Equal((op, 0), (op, Blocker.Status(op, op == XsegOp.Hash ? name : "")));
        Assert.Equal(0, WriteStatus(name, 2));

        Assert.Equal((0, 3ul), Take(Alice));
        Blocker.Bind(1, _id, 3);
        Assert.Equal(0, WriteStatus(name, 1));
        Assert.Equal(0, Lock(XsegOp.Release, VolumeLock, Alice));
        Assert.Equal(XsegErrno.ESTALE, WriteStatus(name, 1));
    }

    [Fact]
    public void A_damaged_record_is_an_error_until_force_replaces_it()
    {
        Assert.Equal((0, 1ul), Take(Alice));
        Blocker.Write(VolumeLock, 100, [0xFF], flow: 3);
        Assert.Equal(XsegErrno.EIO, Take(Alice).Status);
        Assert.Equal(XsegErrno.EIO, Lock(XsegOp.Release, VolumeLock, Alice));
        Assert.Equal(0, Lock(XsegOp.Release, VolumeLock, Alice, RequestFlags.Force));
        var (status, epoch) = Take(Bob);
        Assert.Equal(0, status);
        Assert.True(epoch > 2);
    }

    [Fact]
    public void A_fence_that_was_left_pending_is_done_by_whoever_takes_the_lock_next()
    {
        var left = new LockRecord { Held = true, Epoch = 5, Lease = Millisecond, Cookie = Bob, Owner = "died in the middle", Address = DeadAddress, Fence = DeadAddress };
        Blocker.Write(VolumeLock, 0, left.ToBytes(), flow: 3);
        var reply = Blocker.Do(Ask(Alice, flags: 0) with { DeadlineNanoseconds = 60_000 * Millisecond });
        Assert.Equal((0, 6ul), (reply.Status, reply.Serviced));
        Assert.Equal(("", true), (Record().Fence, Record().IsOf(Alice)));
        Blocker.Write(VolumeLock, 0, (left with { Held = false }).ToBytes(), flow: 3);
        Assert.Equal((0, 6ul), Take(Alice));
        Assert.Equal("", Record().Fence);
    }

    private Ask Ask(byte[] cookie, ulong lease = Hour, uint flow = 1, RequestFlags flags = RequestFlags.NoSync) =>
        new(XsegOp.Acquire, BlockerHarness.Name(VolumeLock), 0, lease) { Cookie = cookie, Flow = flow, Flags = flags, Source = "host7 pid 123"u8.ToArray() };

    private (int Status, ulong Epoch) Take(byte[] cookie, ulong lease = Hour)
    {
        var reply = Blocker.Do(Ask(cookie, lease));
        return (reply.Status, reply.Serviced);
    }

    private LockRecord Record() => LockRecord.Parse(Blocker.Read(VolumeLock, 0, 512).Data, out _)!;

    private int WriteStatus(string name, uint flow) => Blocker.Do(new Ask(XsegOp.Write, BlockerHarness.Name(name), 0, 512) { Payload = Sector, Flow = flow }).Status;
}
