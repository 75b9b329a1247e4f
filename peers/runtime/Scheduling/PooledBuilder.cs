using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;

namespace Archipelago.Runtime.Scheduling;

/// <summary>
/// Builds <see cref="ValueTask{TResult}"/>s of async methods whose state lives in a box that is reused: after warm-up an await
/// on the data path allocates nothing, however many are under way (the framework's pooling builder keeps one box per core).
/// Use: <c>[AsyncMethodBuilder(typeof(PooledBuilder&lt;&gt;))]</c> on methods that run on one reactor from start to end. The
/// result must be awaited exactly once. Execution contexts do not flow.
/// </summary>
public struct PooledBuilder<TResult>
{
    private Box? _box;
    private TResult _result;
    private bool _completed;

    /// <summary>For the compiler.</summary>
    public static PooledBuilder<TResult> Create() => default;

    /// <summary>For the compiler.</summary>
    public readonly void Start<TStateMachine>(ref TStateMachine machine) where TStateMachine : IAsyncStateMachine => machine.MoveNext();

    /// <summary>For the compiler.</summary>
    public readonly void SetStateMachine(IAsyncStateMachine machine)
    {
    }

    /// <summary>For the compiler.</summary>
    public void SetResult(TResult result)
    {
        if (_box == null) (_result, _completed) = (result, true);
        else _box.Complete(result, null);
    }

    /// <summary>For the compiler.</summary>
    public void SetException(Exception exception)
    {
        _box ??= FaultBox.Rent();
        _box.Complete(default!, exception);
    }

    /// <summary>For the compiler.</summary>
    public readonly ValueTask<TResult> Task => _completed ? new ValueTask<TResult>(_result) : new ValueTask<TResult>(_box!, _box!.Version);

    /// <summary>For the compiler.</summary>
    public void AwaitOnCompleted<TAwaiter, TStateMachine>(ref TAwaiter awaiter, ref TStateMachine machine)
        where TAwaiter : INotifyCompletion where TStateMachine : IAsyncStateMachine => awaiter.OnCompleted(BoxOf(ref machine).MoveNext);

    /// <summary>For the compiler.</summary>
    public void AwaitUnsafeOnCompleted<TAwaiter, TStateMachine>(ref TAwaiter awaiter, ref TStateMachine machine)
        where TAwaiter : ICriticalNotifyCompletion where TStateMachine : IAsyncStateMachine => awaiter.UnsafeOnCompleted(BoxOf(ref machine).MoveNext);

    private Box BoxOf<TStateMachine>(ref TStateMachine machine) where TStateMachine : IAsyncStateMachine
    {
        if (_box != null) return _box;
        var box = MachineBox<TStateMachine>.Rent();
        // The builder inside the machine must know its box before the machine is copied into it.
        _box = box;
        box.Machine = machine;
        return box;
    }

    private abstract class Box : IValueTaskSource<TResult>
    {
        internal readonly Action MoveNext;
        private Action<object?>? _continuation;
        private object? _state;
        private TResult _result = default!;
        private Exception? _exception;
        private bool _done;

        protected Box() => MoveNext = Step;

        internal short Version { get; private set; }

        protected abstract void Step();

        protected abstract void Return();

        internal void Complete(TResult result, Exception? exception)
        {
            (_result, _exception, _done) = (result, exception, true);
            var continuation = _continuation;
            if (continuation == null) return;
            _continuation = null;
            continuation(_state);
        }

        public TResult GetResult(short token)
        {
            if (token != Version || !_done) throw new InvalidOperationException("a pooled task was awaited twice or before it was done");
            var (result, exception) = (_result, _exception);
            (_result, _exception, _done, _state) = (default!, null, false, null);
            Version++;
            Return();
            if (exception != null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(exception);
            return result;
        }

        public ValueTaskSourceStatus GetStatus(short token) => !_done ? ValueTaskSourceStatus.Pending
            : _exception == null ? ValueTaskSourceStatus.Succeeded : ValueTaskSourceStatus.Faulted;

        public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
        {
            if (_done)
            {
                continuation(state);
                return;
            }

            (_state, _continuation) = (state, continuation);
        }
    }

    private sealed class FaultBox : Box
    {
        internal static FaultBox Rent() => new();

        protected override void Step() => throw new InvalidOperationException("a fault has no steps");

        protected override void Return()
        {
        }
    }

    private sealed class MachineBox<TStateMachine> : Box where TStateMachine : IAsyncStateMachine
    {
        [ThreadStatic] private static MachineBox<TStateMachine>? t_free;

        internal TStateMachine Machine = default!;
        private MachineBox<TStateMachine>? _next;

        internal static MachineBox<TStateMachine> Rent()
        {
            var box = t_free;
            if (box == null) return new MachineBox<TStateMachine>();
            t_free = box._next;
            box._next = null;
            return box;
        }

        protected override void Step() => Machine.MoveNext();

        protected override void Return()
        {
            Machine = default!;
            _next = t_free;
            t_free = this;
        }
    }
}
