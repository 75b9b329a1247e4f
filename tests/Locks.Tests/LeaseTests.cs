using Archipelago.Runtime;

namespace Archipelago.Locks.Tests;

public sealed class LeaseTests : IDisposable
{
    private readonly World _world = new();
    private readonly FakeBlocker _a, _b;

    public LeaseTests() => (_a, _b) = (new FakeBlocker(_world, "A"), new FakeBlocker(_world, "B"));

    public void Dispose()
    {
        _a.Dispose();
        _b.Dispose();
    }

    [Fact]
    public void An_epoch_counts_owners_and_a_renewal_is_none()
    {
        Assert.Equal((0, 1ul), _a.Acquire(Rig.Ask(Rig.Alice)));
        Assert.Equal((0, 1ul), _a.Acquire(Rig.Ask(Rig.Alice)));
        var record = _world.Record(Rig.Name);
        Assert.Equal((true, 1ul, 1ul, Rig.Lease, "owner 1", "A", ""), (record.Held, record.Epoch, record.Renewals, record.Lease, record.Owner, record.Address, record.Fence));
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        Assert.Equal(Errno.EACCES, _b.Release(Rig.Ask(Rig.Bob)));
        Assert.Equal(0, _a.Release(Rig.Ask(Rig.Alice)));
        record = _world.Record(Rig.Name);
        Assert.Equal((false, 1ul), (record.Held, record.Epoch));
        Assert.Equal(Rig.Alice, record.Cookie);
        Assert.Equal(Errno.ENOENT, _a.Release(Rig.Ask(Rig.Alice)));
        Assert.Equal(0, _a.Release(Rig.Ask(Rig.Alice, replayed: true)));
        Assert.Equal((0, 2ul), _b.Acquire(Rig.Ask(Rig.Bob)));
        Assert.Empty(_world.Fenced);
    }

    [Fact]
    public void A_lease_that_is_not_renewed_for_its_whole_length_on_the_watchers_clock_is_over()
    {
        _a.Acquire(Rig.Ask(Rig.Alice));
        // However long it was held before anybody looked.
        _world.Pass(100 * Rig.Lease);
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        _world.Pass(Rig.Lease);
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        _a.Acquire(Rig.Ask(Rig.Alice));
        _world.Pass(LockObservations.Margin(Rig.Lease));
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        _world.Pass(Rig.Lease + LockObservations.Margin(Rig.Lease) - 1);
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        Assert.Empty(_world.Fenced);
        _world.Pass(1);
        Assert.Equal((0, 2ul), _b.Acquire(Rig.Ask(Rig.Bob)));
        Assert.Equal(["fence A"], _world.Events);
        Assert.Equal(("B", ""), (_world.Record(Rig.Name).Address, _world.Record(Rig.Name).Fence));
        Assert.Equal(Errno.EBUSY, _a.Acquire(Rig.Ask(Rig.Alice)).Status);
    }

    [Fact]
    public void A_renewal_that_comes_while_a_watcher_reads_counts_in_full_however_slow_the_read_is()
    {
        _a.Acquire(Rig.Ask(Rig.Alice));
        _b.BeforeRead = () =>
        {
            // The disk is busy, longer than the margin; just before the store reads for the watcher the holder's last renewal gets through.
            _world.Pass(2 * LockObservations.Margin(Rig.Lease));
            _a.Acquire(Rig.Ask(Rig.Alice));
        };
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        _world.Pass(Rig.Lease + LockObservations.Margin(Rig.Lease) - 1);
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        _world.Pass(1);
        Assert.Equal((0, 2ul), _b.Acquire(Rig.Ask(Rig.Bob)));
    }

    [Fact]
    public void A_slow_read_makes_no_lease_older()
    {
        _a.Acquire(Rig.Ask(Rig.Alice));
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        _world.Pass(Rig.Lease + LockObservations.Margin(Rig.Lease) - 1);
        // The record may have been read at once, and its answer have taken so long.
        _b.BeforeRead = () => _world.Pass(Rig.Lease);
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
    }

    [Fact]
    public void A_lock_without_a_lease_is_broken_by_force_only()
    {
        _a.Acquire(Rig.Ask(Rig.Alice, lease: 0));
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
            Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob, force: true)).Status);
            _world.Pass(1000 * Rig.Lease);
        }

        Assert.Equal(0, _b.Release(Rig.Ask(Rig.Bob, force: true)));
        Assert.Equal(["fence A"], _world.Events);
        Assert.Equal((false, 2ul, ""), (_world.Record(Rig.Name).Held, _world.Record(Rig.Name).Epoch, _world.Record(Rig.Name).Fence));
        Assert.Equal((0, 3ul), _b.Acquire(Rig.Ask(Rig.Bob)));
    }

    [Fact]
    public void A_holder_that_cannot_be_fenced_keeps_everybody_out_until_it_can()
    {
        Expire();
        _b.FenceStatus = Errno.EACCES;
        Assert.Equal(Errno.EACCES, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        Assert.Equal("A", _world.Record(Rig.Name).Fence);
        Assert.Equal(Errno.EACCES, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        _b.Bind(1, Rig.Id, 2);
        Assert.Equal(Errno.EACCES, _b.Change(1));
        _b.FenceStatus = 0;
        Assert.Equal((0, 2ul), _b.Acquire(Rig.Ask(Rig.Bob)));
        Assert.Equal(["fence A"], _world.Events);
    }

    [Fact]
    public void A_fence_that_a_dead_breaker_left_is_done_first_by_whoever_comes_next()
    {
        Expire();
        // Dies in front of the fence: the record names two who may have writes under way.
        _b.StepsLeft = 2;
        Assert.Throws<DiedException>(() => _b.Acquire(Rig.Ask(Rig.Bob)));
        Assert.Equal(("B", "A"), (_world.Record(Rig.Name).Address, _world.Record(Rig.Name).Fence));
        using var c = new FakeBlocker(_world, "C");
        Assert.Equal(Errno.EBUSY, c.Acquire(Rig.Ask(Rig.Carol)).Status);
        _world.Pass(2 * Rig.Lease);
        Assert.Equal((0, 3ul), c.Acquire(Rig.Ask(Rig.Carol)));
        Assert.Equal(["fence A", "fence B"], _world.Events);
        Assert.Equal(("C", ""), (_world.Record(Rig.Name).Address, _world.Record(Rig.Name).Fence));
    }

    [Fact]
    public void A_damaged_record_is_an_error_until_force_replaces_it_with_a_new_epoch()
    {
        _a.Acquire(Rig.Ask(Rig.Alice));
        _world.Objects[Rig.Name][40] ^= 1;
        Assert.Equal(Errno.EIO, _a.Acquire(Rig.Ask(Rig.Alice)).Status);
        Assert.Equal(Errno.EIO, _a.Release(Rig.Ask(Rig.Alice)));
        _a.Bind(1, Rig.Id, 1);
        Assert.Equal(0, _a.Change(1));
        _a.Flows.ForgetAll();
        Assert.Equal(Errno.EIO, _a.Change(1));
        var (status, epoch) = _a.Acquire(Rig.Ask(Rig.Alice, force: true));
        Assert.Equal(0, status);
        Assert.True(epoch > 1);
        Assert.Equal(Errno.ESTALE, _a.Change(1));
        _world.Objects[Rig.Name][0] ^= 1;
        Assert.Equal(0, _b.Release(Rig.Ask(Rig.Bob, force: true)));
        Assert.True(_world.Record(Rig.Name).Epoch > epoch);
        Assert.Equal(0, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
    }

    [Fact]
    public void Of_two_who_swap_at_once_one_wins_and_the_other_sees_it()
    {
        _a.BeforeSwap = () => Assert.Equal((0, 1ul), _b.Acquire(Rig.Ask(Rig.Bob)));
        Assert.Equal(Errno.EBUSY, _a.Acquire(Rig.Ask(Rig.Alice)).Status);
        _b.Release(Rig.Ask(Rig.Bob));
        Expire();
        // The holder renews between the watcher's look and its swap.
        _b.BeforeSwap = () => Assert.Equal(0, _a.Acquire(Rig.Ask(Rig.Alice)).Status);
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        Assert.Empty(_world.Fenced);
    }

    [Fact]
    public void A_swap_whose_answer_was_lost_is_found_in_the_record()
    {
        _a.LosesAnswers = true;
        Assert.Equal((0, 1ul), _a.Acquire(Rig.Ask(Rig.Alice)));
        Assert.Equal((0, 1ul), _a.Acquire(Rig.Ask(Rig.Alice)));
        Assert.Equal(0, _a.Release(Rig.Ask(Rig.Alice)));
    }

    [Fact]
    public void What_is_watched_is_bounded()
    {
        var seen = new LockObservations();
        for (int i = 0; i < 10_000; i++) Assert.False(seen.IsExpired(LockName.Of((ulong)i), new LockRecord { Held = true, Lease = 1 }, 0, 0));
        Assert.InRange(seen.Count, 1, 4096);
        Assert.False(seen.IsExpired([1], new LockRecord { Held = true, Lease = ulong.MaxValue }, long.MinValue, long.MinValue));
        Assert.False(seen.IsExpired([1], new LockRecord { Held = true, Lease = ulong.MaxValue }, long.MaxValue / 2, long.MaxValue / 2));
    }

    private void Expire()
    {
        Assert.Equal(0, _a.Acquire(Rig.Ask(Rig.Alice)).Status);
        Assert.Equal(Errno.EBUSY, _b.Acquire(Rig.Ask(Rig.Bob)).Status);
        _world.Pass(2 * Rig.Lease);
    }
}
