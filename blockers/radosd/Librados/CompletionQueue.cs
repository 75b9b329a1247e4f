using System.Runtime.InteropServices;

namespace Archipelago.Radosd.Librados;

/// <summary>
/// The operations in flight of one thread (a reactor) and their results. Everything is allocated at creation; in the
/// steady state neither submitting nor taking a result allocates managed memory, locks or blocks.
/// <para>
/// Threading: one thread, the consumer, submits through the pools of this queue and takes the results. librados'
/// threads only publish. The wake delegate runs on a librados thread; it must be short and must not throw.
/// </para>
/// <para>
/// Each submitted operation gives exactly one result. librados blocks the submitting thread at its own limit of
/// operations and bytes in flight; the limits here lie below (see <see cref="RadosCluster.CreateQueue"/>) and answer
/// <see cref="RadosErrno.EAGAIN"/> instead.
/// </para>
/// </summary>
public sealed unsafe partial class CompletionQueue
{
    private readonly RadosCompletion[] _all;
    private readonly RadosCompletion.StatBuffer* _stats;
    private readonly Action? _wake;
    private ArrivalStack _arrivals;
    private RadosCompletion? _free;
    private RadosCompletion? _readyFirst;
    private RadosCompletion? _readyLast;
    private int _ready;
    private bool _closed;

    internal CompletionQueue(int maxOperations, long maxBytes, Action? wake)
    {
        MaxOperations = maxOperations;
        MaxBytes = maxBytes;
        _wake = wake;
        _stats = (RadosCompletion.StatBuffer*)NativeMemory.AllocZeroed(
            (nuint)maxOperations, (nuint)sizeof(RadosCompletion.StatBuffer));
        _all = new RadosCompletion[maxOperations];
        for (int i = maxOperations - 1; i >= 0; i--)
        {
            _all[i] = new RadosCompletion(this, _stats + i) { Next = _free };
            _free = _all[i];
        }
    }

    /// <summary>Most operations in flight, counting results that were not taken yet.</summary>
    public int MaxOperations { get; }

    /// <summary>Most payload bytes in flight (written data, or the length of read buffers).</summary>
    public long MaxBytes { get; }

    /// <summary>Operations submitted whose result was not taken yet. Consumer thread.</summary>
    public int InFlight { get; private set; }

    /// <summary>Payload bytes of the operations in flight. Consumer thread.</summary>
    public long BytesInFlight { get; private set; }

    /// <summary>Takes the next result, oldest arrival first. False if none has arrived. Consumer thread.</summary>
    public bool TryTake(out RadosResult result)
    {
        if (_readyFirst is null)
            CollectArrivals();
        RadosCompletion? completion = _readyFirst;
        if (completion is null)
        {
            result = default;
            return false;
        }
        _readyFirst = completion.Next;
        if (_readyFirst is null)
            _readyLast = null;
        _ready--;
        result = new RadosResult(completion);
        completion.ReleaseHandle();
        Return(completion);
        return true;
    }

    /// <summary>
    /// Announces that the consumer is about to sleep until the wake delegate is called. False: a result is there, do
    /// not sleep. After true and the sleep, call <see cref="Unpark"/>. At most one wake comes per park.
    /// </summary>
    public bool TryPark() => _readyFirst is null && _arrivals.TryPark();

    /// <summary>The consumer is awake again, whoever woke it.</summary>
    public void Unpark() => _arrivals.Unpark();

    /// <summary>Refuses new operations with EPIPE from now on; those in flight go on. Consumer thread.</summary>
    public void Close() => _closed = true;

    /// <summary>
    /// Asks librados to give up every operation in flight: each ends soon, most with
    /// <see cref="RadosErrno.ECANCELED"/>. A cancelled write may have been applied, or may be later, until this
    /// client is fenced. Consumer thread.
    /// </summary>
    public void CancelAll()
    {
        CollectArrivals();
        foreach (RadosCompletion completion in _all)
        {
            // ENOENT: it has ended already, or waits in librados for others (flush). Its callback comes anyway.
            if (completion.Pending)
                _ = Native.rados_aio_cancel(completion.Pool!.Handle, completion.Handle);
        }
    }

    /// <summary>Reserves a completion; 0, or the errno to answer and nothing is reserved.</summary>
    internal int Begin(RadosPool pool, long bytes, object? state, long token, out RadosCompletion completion)
    {
        completion = null!;
        if (_closed || pool.IsClosed)
            return RadosErrno.EPIPE;
        if (bytes > MaxBytes)
            return RadosErrno.E2BIG;
        RadosCompletion? free = _free;
        if (free is null || BytesInFlight + bytes > MaxBytes)
            return RadosErrno.EAGAIN;
        int errno = free.Arm();
        if (errno != 0)
            return errno;
        _free = free.Next;
        free.Next = null;
        free.Pool = pool;
        free.State = state;
        free.Token = token;
        free.Bytes = bytes;
        free.Pending = true;
        InFlight++;
        BytesInFlight += bytes;
        pool.InFlight++;
        completion = free;
        return 0;
    }

    /// <summary>Takes note of what the submit returned: refused operations have no callback and are undone.</summary>
    internal int End(RadosCompletion completion, int code)
    {
        if (code >= 0)
            return 0;
        completion.Pending = false;
        completion.ReleaseHandle();
        Return(completion);
        return RadosErrno.FromReturn(code);
    }

    /// <summary>librados' callback thread.</summary>
    internal void Publish(RadosCompletion completion)
    {
        if (_arrivals.Push(completion))
            _wake?.Invoke();
    }

    private void Return(RadosCompletion completion)
    {
        RadosPool pool = completion.Pool ?? throw new InvalidOperationException("a completion was returned twice");
        pool.InFlight--;
        InFlight--;
        BytesInFlight -= completion.Bytes;
        completion.Pool = null;
        completion.State = null;
        completion.Next = _free;
        _free = completion;
    }

    /// <summary>Moves what has arrived behind the ready list, in the order of arrival.</summary>
    private void CollectArrivals()
    {
        RadosCompletion? newest = _arrivals.TakeAll();
        if (newest is null)
            return;
        RadosCompletion? oldest = null;
        for (RadosCompletion? c = newest; c is not null;)
        {
            RadosCompletion? next = c.Next;
            c.Next = oldest;
            c.Pending = false;
            oldest = c;
            c = next;
            _ready++;
        }
        if (_readyLast is null)
            _readyFirst = oldest;
        else
            _readyLast.Next = oldest;
        _readyLast = newest;
    }
}
