using System.Runtime.CompilerServices;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Filed;

/// <summary>
/// What a dead predecessor was told to write and did not flush is in no list: the first FLUSH syncs everything. Whose data a failure
/// concerns nobody knows, and the kernel reports it once: so every flow is told at its next FLUSH. One reactor.
/// </summary>
internal sealed class InheritedWrites(Func<ValueTask<int>> syncAll)
{
    private readonly HashSet<uint> _told = [];
    private readonly Queue<Completion<int>> _waiting = new();
    private bool _stable, _syncing;
    private int _lost;

    /// <summary>0 once all of it is stable, and <paramref name="flow"/> knows of what was lost on the way; else the errno.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> FlushAsync(uint flow)
    {
        int status = _stable ? 0 : _syncing ? await JoinAsync() : await SyncAsync();
        return _lost != 0 && _told.Add(flow) ? _lost : status;
    }

    /// <summary>Two at once would share one report between them.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> SyncAsync()
    {
        _syncing = true;
        int status = await syncAll();
        _syncing = false;
        _stable = status == 0;
        if (status != 0)
        {
            _lost = status;
            _told.Clear();
        }

        for (int waiting = _waiting.Count; waiting > 0; waiting--) _waiting.Dequeue().Set(status);
        return status;
    }

    private ValueTask<int> JoinAsync()
    {
        var turn = new Completion<int>();
        _waiting.Enqueue(turn);
        return turn.Task;
    }
}
