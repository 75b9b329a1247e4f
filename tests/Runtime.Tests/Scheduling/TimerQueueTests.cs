using Archipelago.Runtime.Scheduling;

namespace Archipelago.Runtime.Tests.Scheduling;

public sealed class TimerQueueTests
{
    private readonly TimerQueue _timers = new();
    private readonly List<int> _fired = [];

    [Fact]
    public void Timers_fire_by_due_time_and_equal_ones_in_the_order_in_which_they_were_set()
    {
        Add(30, 1);
        Add(10, 2);
        Add(20, 3);
        Add(10, 4);
        Assert.Equal(10, _timers.NextDue);
        Assert.Equal(0, _timers.Fire(9));
        Assert.Equal(3, _timers.Fire(20));
        Assert.Equal([2, 4, 3], _fired);
        Assert.Equal(30, _timers.NextDue);
        Assert.Equal(1, _timers.Fire(long.MaxValue - 1));
        Assert.Equal(long.MaxValue, _timers.NextDue);
    }

    [Fact]
    public void A_cancelled_timer_does_not_fire_and_a_stale_handle_cancels_nothing()
    {
        var first = Add(10, 1);
        _timers.Cancel(first);
        _timers.Cancel(first);
        // Takes the place of the first in the table.
        var second = Add(10, 2);
        Assert.Equal(first.Index, second.Index);
        _timers.Cancel(first);
        _timers.Cancel(new TimerHandle(1000, 0));
        Assert.Equal(1, _timers.Fire(10));
        Assert.Equal([2], _fired);
        _timers.Cancel(second);
    }

    [Fact]
    public void A_timer_may_set_and_cancel_others_when_it_fires()
    {
        TimerHandle victim = default;
        _timers.Add(10, _ =>
        {
            _timers.Cancel(victim);
            Add(15, 3);
            Add(40, 4);
        }, null);
        victim = Add(12, 2);
        _timers.Fire(20);
        Assert.Equal([3], _fired);
        _timers.Fire(40);
        Assert.Equal([3, 4], _fired);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Any_sequence_fires_what_a_sorted_list_would_fire(int seed)
    {
        var random = new Random(seed);
        var model = new List<(long Due, int Id, TimerHandle Handle)>();
        long now = 0;
        for (int id = 0; id < 20_000; id++)
        {
            switch (random.Next(5))
            {
                case < 3:
                    long due = now + random.Next(-5, 500);
                    model.Add((due, id, Add(due, id)));
                    break;
                case 3 when model.Count > 0:
                    int at = random.Next(model.Count);
                    _timers.Cancel(model[at].Handle);
                    model.RemoveAt(at);
                    break;
                default:
                    now += random.Next(50);
                    _fired.Clear();
                    int fired = _timers.Fire(now);
                    int[] expected = [.. model.Where(timer => timer.Due <= now).OrderBy(timer => timer.Due).ThenBy(timer => timer.Id).Select(timer => timer.Id)];
                    Assert.Equal(expected, _fired);
                    Assert.Equal(expected.Length, fired);
                    model.RemoveAll(timer => timer.Due <= now);
                    Assert.Equal(model.Count == 0 ? long.MaxValue : model.Min(timer => timer.Due), _timers.NextDue);
                    break;
            }
        }
    }

    private TimerHandle Add(long due, int id) => _timers.Add(due, _ => _fired.Add(id), null);
}
