using Archipelago.Runtime;

namespace Archipelago.Locks.Tests;

public sealed class GateTests : IDisposable
{
    private readonly World _world = new();
    private readonly FakeBlocker _a, _b;

    public GateTests() => (_a, _b) = (new FakeBlocker(_world, "A"), new FakeBlocker(_world, "B"));

    public void Dispose()
    {
        _a.Dispose();
        _b.Dispose();
    }

    [Fact]
    public void A_flow_without_an_epoch_passes_and_one_with_an_epoch_that_nobody_holds_does_not()
    {
        Assert.Equal(0, _a.Change(1));
        Assert.Equal(0, _a.Change(0));
        Assert.False(_a.Flows.Passes(1000));
        Assert.Equal(0, _a.Steps);
        _a.Bind(1, Rig.Id, 1);
        Assert.Equal(Errno.ESTALE, _a.Change(1));
        // Once is enough.
        int steps = _a.Steps;
        Assert.Equal(Errno.ESTALE, _a.Change(1));
        Assert.Equal(steps, _a.Steps);
    }

    [Fact]
    public void Who_acquires_passes_and_who_was_broken_does_not()
    {
        Assert.Equal((0, 1ul), _a.Acquire(Rig.Ask(Rig.Alice)));
        _a.Bind(1, Rig.Id, 1);
        int steps = _a.Steps;
        Assert.Equal(0, _a.Change(1));
        Assert.Equal(steps, _a.Steps);
        // The volume's other flow needs the same lock.
        _a.Bind(2, Rig.Id, 1);
        Assert.Equal(0, _a.Change(2));
        Assert.Equal(0, _b.Release(Rig.Ask(Rig.Bob, force: true)));
        Assert.Contains("A", _world.Fenced);
        // It has found that out, and goes on as another.
        _a.Rename("A2");
        Assert.Equal(Errno.ESTALE, _a.Change(1));
        Assert.Equal(Errno.ESTALE, _a.Change(2));
    }

    [Fact]
    public void An_instance_that_became_another_registers_itself_before_its_flows_pass()
    {
        _a.Acquire(Rig.Ask(Rig.Alice));
        _a.Bind(1, Rig.Id, 1);
        _a.Rename("A2");
        Assert.False(_a.Flows.Passes(1));
        Assert.Equal(0, _a.Change(1));
        Assert.Equal(("A2", 1ul, 0ul), (_world.Record(Rig.Name).Address, _world.Record(Rig.Name).Epoch, _world.Record(Rig.Name).Renewals));
        // And again, if that happens while it does.
        _a.Rename("A3");
        _a.BeforeSwap = () => _a.Rename("A4");
        Assert.Equal(0, _a.Change(1));
        Assert.Equal("A4", _world.Record(Rig.Name).Address);
        _a.BeforeSwap = () => _a.Rename("A5");
        Assert.Equal(0, _a.Acquire(Rig.Ask(Rig.Alice)).Status);
        Assert.Equal("A5", _world.Record(Rig.Name).Address);
    }

    [Fact]
    public void A_new_owner_on_the_same_blocker_stops_the_old_ones_flow_without_fencing_the_blocker()
    {
        _a.Acquire(Rig.Ask(Rig.Alice, flow: 1));
        _a.Bind(1, Rig.Id, 1);
        Assert.Equal(Errno.EBUSY, _a.Acquire(Rig.Ask(Rig.Bob, flow: 2)).Status);
        _world.Pass(2 * Rig.Lease);
        Assert.Equal((0, 2ul), _a.Acquire(Rig.Ask(Rig.Bob, flow: 2)));
        _a.Bind(2, Rig.Id, 2);
        Assert.Empty(_world.Fenced);
        Assert.Contains(1u, _a.Drained);
        Assert.Equal(Errno.ESTALE, _a.Change(1));
        Assert.Equal(0, _a.Change(2));
    }

    [Fact]
    public void A_release_lets_nothing_through_any_more_and_waits_for_what_is_under_way()
    {
        _a.Acquire(Rig.Ask(Rig.Alice));
        _a.Bind(1, Rig.Id, 1);
        _a.BeforeSwap = () =>
        {
            Assert.Equal([1u], _a.Drained);
            Assert.Equal(Errno.ESTALE, _a.Change(1));
        };
        Assert.Equal(0, _a.Release(Rig.Ask(Rig.Alice)));
        Assert.Equal(Errno.ESTALE, _a.Change(1));
        Assert.Equal((0, 2ul), _a.Acquire(Rig.Ask(Rig.Alice)));
        Assert.Equal(Errno.ESTALE, _a.Change(1));
        _a.Bind(1, Rig.Id, 2);
        Assert.Equal(0, _a.Change(1));
    }

    [Fact]
    public void Force_breaks_the_askers_own_lock_too()
    {
        _a.Acquire(Rig.Ask(Rig.Alice));
        _a.Bind(1, Rig.Id, 1);
        Assert.Equal(0, _a.Release(Rig.Ask(Rig.Alice, force: true)));
        Assert.Equal((false, 2ul, ""), (_world.Record(Rig.Name).Held, _world.Record(Rig.Name).Epoch, _world.Record(Rig.Name).Fence));
        Assert.Equal([1u], _a.Drained);
        Assert.Empty(_world.Fenced);
        Assert.Equal(Errno.ESTALE, _a.Change(1));
    }

    [Fact]
    public void Who_sleeps_longer_than_a_fence_lasts_looks_again()
    {
        using var f = new FakeBlocker(_world, "F") { Lasting = (long)(5 * Rig.Lease) };
        f.Acquire(Rig.Ask(Rig.Alice));
        f.Bind(1, Rig.Id, 1);
        _world.Pass(5 * Rig.Lease - 1);
        Assert.True(f.Flows.Passes(1));
        _world.Pass(1);
        Assert.False(f.Flows.Passes(1));
        Assert.Equal(0, f.Change(1));
        Assert.Equal(0ul, _world.Record(Rig.Name).Renewals);
        Assert.Equal(0, _b.Release(Rig.Ask(Rig.Bob, force: true)));
        _world.Fenced.Clear();
        _world.Pass(5 * Rig.Lease);
        Assert.Equal(Errno.ESTALE, f.Change(1));
    }

    [Fact]
    public void Passing_allocates_nothing()
    {
        _a.Acquire(Rig.Ask(Rig.Alice));
        _a.Bind(1, Rig.Id, 1);
        int passed = 0;
        for (int round = 0; round < 3; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 10_000; i++) passed += (_a.Flows.Passes(1) ? 1 : 0) + (_a.Flows.Passes(2) ? 1 : 0);
            if (round > 0) Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(60_000, passed);
    }

    [Fact]
    public void Another_volume_of_the_same_flow_and_epoch_is_another_lock()
    {
        _a.Acquire(Rig.Ask(Rig.Alice));
        _a.Bind(1, Rig.Id, 1);
        Assert.Equal(0, _a.Change(1));
        _a.Bind(1, Rig.Id + 1, 1);
        Assert.Equal(Errno.ESTALE, _a.Change(1));
        _a.Bind(1, 0, 1);
        Assert.Equal(Errno.ESTALE, _a.Change(1));
    }

    [Fact]
    public void Where_nobody_can_be_fenced_changes_pass_for_the_lease_and_then_renew()
    {
        using var f = new FakeBlocker(_world, "F", leaseBounds: true);
        f.Acquire(Rig.Ask(Rig.Alice));
        f.Bind(1, Rig.Id, 1);
        _world.Pass(Rig.Lease - 1);
        Assert.True(f.Flows.Passes(1));
        Assert.Equal(_world.BoottimeNanoseconds + 1, f.Flows.PassesUntil(1));
        _world.Pass(1);
        Assert.False(f.Flows.Passes(1));
        Assert.Equal(0, f.Change(1));
        Assert.Equal(1ul, _world.Record(Rig.Name).Renewals);
        _world.Pass(Rig.Lease);
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        _world.Pass(2 * Rig.Lease);
        Assert.Equal((0, 2ul), _b.Acquire(Rig.Ask(Rig.Bob)));
        Assert.Equal(Errno.ESTALE, f.Change(1));
    }
}
