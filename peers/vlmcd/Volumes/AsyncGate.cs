using Archipelago.Runtime.Scheduling;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>First come, first served: one at a time changes a volume. For one reactor; waiters continue from its loop, not from <see cref="Exit"/>.</summary>
internal sealed class AsyncGate(IReactor reactor)
{
    private readonly Queue<Completion<bool>> _waiting = new();
    private bool _taken;

    internal bool IsIdle => !_taken;

    internal ValueTask<bool> EnterAsync()
    {
        if (!_taken)
        {
            _taken = true;
            return new ValueTask<bool>(true);
        }

        var turn = new Completion<bool>();
        _waiting.Enqueue(turn);
        return turn.Task;
    }

    internal void Exit()
    {
        if (_waiting.TryDequeue(out var turn)) reactor.Post(static next => ((Completion<bool>)next!).Set(true), turn);
        else _taken = false;
    }
}
