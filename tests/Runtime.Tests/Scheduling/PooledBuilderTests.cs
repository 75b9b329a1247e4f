using System.Runtime.CompilerServices;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Runtime.Tests.Scheduling;

public sealed class PooledBuilderTests
{
    private const int Outstanding = 1000;
    private readonly Completion<int>[] _gates = [.. Enumerable.Range(0, Outstanding).Select(_ => new Completion<int>())];
    private readonly ValueTask<int>[] _tasks = new ValueTask<int>[Outstanding];

    [Fact]
    public void Awaits_allocate_nothing_however_many_are_outstanding()
    {
        for (int warm = 0; warm < 5; warm++) Round();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int round = 0; round < 20; round++) Round();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Results_reach_their_own_waiters_in_whatever_order_they_come()
    {
        for (int i = 0; i < Outstanding; i++) _tasks[i] = Outer(i);
        int[] order = [.. Enumerable.Range(0, Outstanding)];
        new Random(1).Shuffle(order);
        foreach (int i in order) _gates[i].Set(i * 2);
        for (int i = 0; i < Outstanding; i++)
        {
            Assert.True(_tasks[i].IsCompleted);
            Assert.Equal(i * 2 + i, Take(_tasks[i]));
        }
    }

    [Fact]
    public void What_completes_at_once_needs_no_box_and_exceptions_arrive()
    {
        Assert.Equal(7, Take(AtOnce(7)));
        Assert.Throws<ErrnoException>(() => Take(AtOnce(-1)));
        var late = FailsLater();
        Assert.False(late.IsCompleted);
        _gates[0].Set(5);
        Assert.True(late.IsFaulted);
        Assert.Equal(5, Assert.Throws<ErrnoException>(() => Take(late)).Errno);
    }

    [Fact]
    public void A_second_await_of_one_task_is_noticed()
    {
        var task = Inner(0);
        _gates[0].Set(1);
        Assert.Equal(1, Take(task));
        Assert.Throws<InvalidOperationException>(() => Take(task));
    }

    [Fact]
    public void A_completion_is_set_once_per_use()
    {
        var gate = new Completion<int>();
        gate.Set(1);
        Assert.Throws<InvalidOperationException>(() => gate.Set(2));
        Assert.Equal(1, Take(gate.Task));
        var second = gate.Task;
        Assert.False(second.IsCompleted);
        gate.Set(3);
        Assert.Equal(3, Take(second));
    }

    // What is done already: nothing blocks.
    private static int Take(ValueTask<int> done) => done.Result;

    private void Round()
    {
        for (int i = 0; i < Outstanding; i++) _tasks[i] = Outer(i);
        for (int i = Outstanding - 1; i >= 0; i--) _gates[i].Set(i);
        for (int i = 0; i < Outstanding; i++)
            if (_tasks[i].Result != i * 2) throw new InvalidOperationException("a result went to another waiter");
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> Outer(int index) => await Inner(index) + index;

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> Inner(int index) => await _gates[index].Task;

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private static async ValueTask<int> AtOnce(int value)
    {
        await ValueTask.CompletedTask;
        return value >= 0 ? value : throw new ErrnoException(Errno.EINVAL, "below zero");
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> FailsLater() => throw new ErrnoException(await _gates[0].Task, "later");
}
