using System.Runtime.CompilerServices;
using Archipelago.Locks;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Memd;

/// <summary>
/// A blocker in RAM, for tests and benchmarks, with programmable latency, bandwidth, concurrency and faults. Nothing survives
/// the process. One reactor; what may be called from other threads says so.
/// </summary>
public sealed partial class MemdPeer : Peer, IDisposable
{
    /// <summary>Most bytes in an object.</summary>
    public const ulong MaxObject = RequestSlot.MaxData;

    private static readonly TimeSpan PageRetry = TimeSpan.FromMilliseconds(1);
    private readonly ObjectStore _store;
    private readonly string _name;
    private Lender _lender = null!;
    private MemdOptions _options;
    private bool _shaped;
    private bool _stopping;
    private readonly bool _borrowed;
    /// <summary>Of the store, by address.</summary>
    private readonly Dictionary<string, LockService> _instances;
    private ReplyFlags _written;

    /// <summary>Makes the peer. <paramref name="name"/> is its name in the paths of the control plane.</summary>
    public MemdPeer(MemdOptions options, string name = "memd")
    {
        (_options, _name, _instances) = (options, name, []);
        _store = new ObjectStore(options.Volatile);
        Apply(options);
    }

    /// <summary>Another peer on the store of <paramref name="other"/>, which goes with that one: its successor, or that of another segment. For a simulation: one thread runs both.</summary>
    public MemdPeer(MemdPeer other)
    {
        (_options, _name, _store, _instances) = (other._options, other._name, other._store, other._instances);
        _borrowed = true;
        Apply(_options);
    }

    /// <summary>What is in force. Thread-safe.</summary>
    public MemdOptions Options => Volatile.Read(ref _options);

    /// <inheritdoc/>
    public override ValueTask StartAsync()
    {
        _lender = new Lender(Context);
        _random = Context.Reactor.Random.Fork(0x6d656d64);
        var records = new RecordsInMemory(this);
        _instances[records.Address!] = _locks = new LockService(Context, records);
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public override ValueTask StopAsync()
    {
        _stopping = true;
        _locks.Stop();
        Change(_options with { Hang = false });
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override ValueTask<int> HandleAsync(Request request) => _shaped ? HandleShaped(request) : Execute(request);

    /// <summary>Changes the behaviour from the next request on; a request that hangs goes on if nothing hangs any more.</summary>
    /// <exception cref="ErrnoException">EINVAL: <see cref="MemdOptions.Volatile"/> is fixed.</exception>
    public void Change(MemdOptions options)
    {
        if (options.Volatile != _options.Volatile) throw new ErrnoException(Errno.EINVAL, "memd: volatile cannot be changed while it runs");
        Apply(options);
    }

    /// <summary>As <see cref="Change"/>, from any thread; done when it is in force.</summary>
    public Task ChangeAsync(MemdOptions options) => Context.Reactor.CallAsync(() => Change(options));

    /// <summary>A power failure: what was not flushed is gone. Does nothing unless <see cref="MemdOptions.Volatile"/>.</summary>
    public void Crash() => _store.Crash();

    /// <summary>As <see cref="Crash"/>, from any thread.</summary>
    public Task CrashAsync() => Context.Reactor.CallAsync(Crash);

    /// <summary>Frees the data. After the peer's reactor has ended.</summary>
    public void Dispose()
    {
        if (!_borrowed) _store.Dispose();
    }

    private void Apply(MemdOptions options)
    {
        Volatile.Write(ref _options, options);
        _shaped = options.IsShaped;
        _written = options is { Stable: true, Volatile: false } ? ReplyFlags.Stable : ReplyFlags.None;
        _ruleHits = new long[options.Rules.Count];
        Resume();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ValueTask<int> Execute(in Request request)
    {
        switch (request.Op)
        {
            case XsegOp.Read:
                return Read(request);
            case XsegOp.Write:
                return _locks.Flows.Passes(request.Flow) ? new ValueTask<int>(Write(request)) : ExecuteVerified(request);
            default:
                return ExecuteOther(request);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private ValueTask<int> ExecuteOther(in Request request) => LockService.IsChange(request.Op) && !_locks.Flows.Passes(request.Flow) ? ExecuteVerified(request) : request.Op switch
    {
        // Nothing is kept here of anybody that is not the data itself.
        XsegOp.Ping or XsegOp.Invalidate => new ValueTask<int>(0),
        XsegOp.Flush => new ValueTask<int>(Flush(request)),
        XsegOp.Discard => new ValueTask<int>(Zero(request, extend: false)),
        XsegOp.WriteZeroes => new ValueTask<int>(Zero(request, extend: true)),
        XsegOp.Truncate => new ValueTask<int>(Truncate(request)),
        XsegOp.Delete => new ValueTask<int>(Delete(request)),
        XsegOp.Copy => new ValueTask<int>(Copy(request)),
        XsegOp.Info => new ValueTask<int>(Info(request)),
        XsegOp.Hash => new ValueTask<int>(Hash(request)),
        XsegOp.Acquire => _locks.AcquireAsync(request),
        XsegOp.Release => _locks.ReleaseAsync(request),
        _ => new ValueTask<int>(XsegErrno.ENOTSUP),
    };

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> ReadWhenPagesAreFree(Request request)
    {
        while (true)
        {
            await Context.Reactor.Delay(PageRetry);
            int status = TryRead(request, out bool wait);
            if (!wait) return status;
        }
    }
}
