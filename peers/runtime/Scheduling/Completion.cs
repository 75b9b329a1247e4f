using System.Threading.Tasks.Sources;

namespace Archipelago.Runtime.Scheduling;

/// <summary>
/// A reusable promise of a value on one reactor: whoever waits is continued inline by <see cref="Set"/>. One waiter at a time;
/// not thread-safe. Reset happens when the result is taken.
/// </summary>
public sealed class Completion<T> : IValueTaskSource<T>
{
    private Action<object?>? _continuation;
    private object? _state;
    private T _result = default!;
    private bool _done;
    private short _version;

    /// <summary>The task of the current use. Await it exactly once.</summary>
    public ValueTask<T> Task => new(this, _version);

    /// <summary>True once set and not yet taken.</summary>
    public bool IsSet => _done;

    /// <summary>Gives the result and continues the waiter before it returns.</summary>
    public void Set(T result)
    {
        if (_done) throw new InvalidOperationException("a completion was set twice");
        (_result, _done) = (result, true);
        var continuation = _continuation;
        if (continuation == null) return;
        _continuation = null;
        continuation(_state);
    }

    T IValueTaskSource<T>.GetResult(short token)
    {
        if (token != _version || !_done) throw new InvalidOperationException("a completion was taken twice or before it was set");
        var result = _result;
        (_result, _done, _state) = (default!, false, null);
        _version++;
        return result;
    }

    ValueTaskSourceStatus IValueTaskSource<T>.GetStatus(short token) => _done ? ValueTaskSourceStatus.Succeeded : ValueTaskSourceStatus.Pending;

    void IValueTaskSource<T>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        if (_done)
        {
            continuation(state);
            return;
        }

        (_state, _continuation) = (state, continuation);
    }
}
