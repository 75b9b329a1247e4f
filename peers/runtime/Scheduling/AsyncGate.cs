namespace Archipelago.Runtime.Scheduling;

/// <summary>First come, first served: one at a time. For one reactor; waiters continue from its loop, not from <see cref="Exit"/>.</summary>
public sealed class AsyncGate(IReactor reactor)
{
    private readonly Queue<Completion<bool>> _waiting = new();
    private bool _taken;

    /// <summary>Nobody has it.</summary>
    public bool IsIdle => !_taken;

    /// <summary>Completes when it is the caller's turn; end it with <see cref="Exit"/>.</summary>
    public ValueTask<bool> EnterAsync()
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

    /// <summary>The next one's turn.</summary>
    public void Exit()
    {
        if (_waiting.TryDequeue(out var turn)) reactor.Post(static next => ((Completion<bool>)next!).Set(true), turn);
        else _taken = false;
    }
}
