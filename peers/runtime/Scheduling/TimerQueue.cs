namespace Archipelago.Runtime.Scheduling;

/// <summary>A binary heap of timers over arrays that grow but never shrink: no allocation per timer. One thread.</summary>
internal sealed class TimerQueue
{
    private struct Timer
    {
        internal long Due;
        internal ulong Order;
        internal Action<object?>? Action;
        internal object? State;
        internal uint Generation;
        internal int HeapIndex;
    }

    private Timer[] _timers = new Timer[64];
    private int[] _heap = new int[64];
    private int[] _free = new int[64];
    private int _freeCount;
    private int _used;
    private int _count;
    private ulong _order;

    /// <summary>Due time of the next timer, or <see cref="long.MaxValue"/>.</summary>
    internal long NextDue => _count == 0 ? long.MaxValue : _timers[_heap[0]].Due;

    internal TimerHandle Add(long due, Action<object?> action, object? state)
    {
        int index = _freeCount > 0 ? _free[--_freeCount] : _used++;
        if (index == _timers.Length)
        {
            Array.Resize(ref _timers, index * 2);
            Array.Resize(ref _heap, index * 2);
            Array.Resize(ref _free, index * 2);
        }

        ref var timer = ref _timers[index];
        // Equal due times fire in the order in which they were set: a simulation must replay.
        (timer.Due, timer.Order, timer.Action, timer.State) = (due, _order++, action, state);
        SiftUp(_count++, index);
        return new TimerHandle(index, timer.Generation);
    }

    internal void Cancel(TimerHandle handle)
    {
        if ((uint)handle.Index >= (uint)_used) return;
        ref var timer = ref _timers[handle.Index];
        if (timer.Action != null && timer.Generation == handle.Generation) RemoveAt(timer.HeapIndex);
    }

    /// <summary>Fires what is due; returns how many.</summary>
    internal int Fire(long now)
    {
        int fired = 0;
        while (_count > 0 && _timers[_heap[0]].Due <= now)
        {
            ref var timer = ref _timers[_heap[0]];
            var (action, state) = (timer.Action!, timer.State);
            RemoveAt(0);
            action(state);
            fired++;
        }

        return fired;
    }

    private void RemoveAt(int at)
    {
        int index = _heap[at];
        ref var timer = ref _timers[index];
        (timer.Action, timer.State) = (null, null);
        timer.Generation++;
        _free[_freeCount++] = index;
        int last = _heap[--_count];
        if (at == _count) return;
        SiftDown(at, last);
        if (_heap[at] == last) SiftUp(at, last);
    }

    private bool Before(int a, int b)
    {
        ref var x = ref _timers[a];
        ref var y = ref _timers[b];
        return x.Due != y.Due ? x.Due < y.Due : x.Order < y.Order;
    }

    private void SiftUp(int at, int index)
    {
        while (at > 0)
        {
            int parent = (at - 1) >> 1;
            if (!Before(index, _heap[parent])) break;
            Place(at, _heap[parent]);
            at = parent;
        }

        Place(at, index);
    }

    private void SiftDown(int at, int index)
    {
        while (true)
        {
            int child = (at << 1) + 1;
            if (child >= _count) break;
            if (child + 1 < _count && Before(_heap[child + 1], _heap[child])) child++;
            if (!Before(_heap[child], index)) break;
            Place(at, _heap[child]);
            at = child;
        }

        Place(at, index);
    }

    private void Place(int at, int index)
    {
        _heap[at] = index;
        _timers[index].HeapIndex = at;
    }
}
