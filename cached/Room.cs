using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Cached;

/// <summary>
/// Where requests wait for free pages or for fewer dirty ones: a full cache goes at the speed of its blocker, it does not
/// fail. Whoever waits is asked again whenever a destage pass ended, and every millisecond, because lent pages come back without a word. One reactor.
/// </summary>
internal sealed class Room
{
    private const long RetryNanoseconds = 1_000_000;

    private readonly PeerContext _context;
    private readonly Store _store;
    private readonly Destager _destager;
    private readonly Action<object?> _onTick;
    private Queue<Completion<bool>> _waiting = new();
    private Queue<Completion<bool>> _spareQueue = new();
    private readonly Stack<Completion<bool>> _spare = new();
    private bool _ticking;
    private bool _waking;
    private bool _wakeAgain;

    internal Room(PeerContext context, Store store, Destager destager)
    {
        (_context, _store, _destager) = (context, store, destager);
        _onTick = static state => ((Room)state!).OnTick();
        destager.Progress += Wake;
    }

    /// <summary>True if <paramref name="pages"/> more pages of the flow may become dirty and are free to be exchanged.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool HasForWrite(FlowState flow, int pages) =>
        ((_store.DirtyPages + pages <= _store.DirtyLimit && flow.DestageError == 0) || MayDirty(flow, pages)) && _store.EnsureFree(pages);

    /// <summary>
    /// What cannot be destaged must not stop others: a flow has its share even where the rest is used up, and one whose destaging fails
    /// takes no more than half.
    /// </summary>
    private bool MayDirty(FlowState flow, int pages)
    {
        // What is more than a flow's share could else wait for ever while others write.
        if (_store.DirtyPages == 0 || (flow.DirtyPages == 0 && flow.DestageError == 0)) return true;
        return flow.DestageError == 0
            ? flow.DirtyPages + pages <= _store.DirtyShare
            : _store.DirtyPages + pages <= _store.DirtyLimit && flow.DirtyPages + pages <= _store.DirtyLimit / 2;
    }

    /// <summary>True if <paramref name="pages"/> pages are free for a fill.</summary>
    internal bool HasForRead(int pages) => _store.EnsureFree(pages);

    /// <summary>Completes when it is worth to ask again.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> WaitAsync()
    {
        var turn = _spare.Count > 0 ? _spare.Pop() : new Completion<bool>();
        _waiting.Enqueue(turn);
        if (!_ticking)
        {
            _ticking = true;
            _context.Reactor.Schedule(_context.Reactor.Now + RetryNanoseconds, _onTick, this);
        }

        _destager.Squeeze();
        await turn.Task;
        _spare.Push(turn);
        return 0;
    }

    private void OnTick()
    {
        _ticking = false;
        Wake();
    }

    /// <summary>Asks all who wait again.</summary>
    internal void Wake()
    {
        // Whoever is woken may destage, and that may end at once and get here again.
        _wakeAgain = true;
        if (_waking) return;
        _waking = true;
        while (_wakeAgain && _waiting.Count > 0)
        {
            _wakeAgain = false;
            // Those who find no room queue again: into the other queue, so that each is asked once.
            (_waiting, _spareQueue) = (_spareQueue, _waiting);
            while (_spareQueue.Count > 0) _spareQueue.Dequeue().Set(true);
        }

        _waking = false;
    }
}
