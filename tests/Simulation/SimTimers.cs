using Archipelago.Runtime.Scheduling;

namespace Archipelago.Simulation;

/// <summary>Timers of one simulated reactor. Equal due times fire in the order in which they were set.</summary>
internal sealed class SimTimers
{
    private struct Timer
    {
        internal Action<object?>? Action;
        internal object? State;
        internal uint Generation;
    }

    private readonly PriorityQueue<TimerHandle, (long Due, long Order)> _queue = new();
    private readonly Stack<int> _free = new();
    private Timer[] _timers = new Timer[64];
    private int _used;
    private long _order;

    internal long NextDue
    {
        get
        {
            while (_queue.TryPeek(out var handle, out var key))
            {
                if (_timers[handle.Index].Generation == handle.Generation) return key.Due;
                _queue.Dequeue();
            }

            return long.MaxValue;
        }
    }

    internal TimerHandle Add(long due, Action<object?> action, object? state)
    {
        if (!_free.TryPop(out int index)) index = _used++;
        if (index == _timers.Length) Array.Resize(ref _timers, index * 2);
        ref var timer = ref _timers[index];
        (timer.Action, timer.State) = (action, state);
        var handle = new TimerHandle(index, timer.Generation);
        _queue.Enqueue(handle, (due, _order++));
        return handle;
    }

    internal void Cancel(TimerHandle handle)
    {
        if ((uint)handle.Index < (uint)_used && _timers[handle.Index].Generation == handle.Generation) Retire(handle.Index);
    }

    internal bool FireOne(long now)
    {
        if (NextDue > now) return false;
        var handle = _queue.Dequeue();
        var (action, state) = (_timers[handle.Index].Action!, _timers[handle.Index].State);
        Retire(handle.Index);
        action(state);
        return true;
    }

    private void Retire(int index)
    {
        ref var timer = ref _timers[index];
        (timer.Action, timer.State) = (null, null);
        timer.Generation++;
        _free.Push(index);
    }
}
