using Archipelago.Filed.Native;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Filed.Scheduling;

/// <summary>
/// Threads that do blocking I/O for one reactor. Work goes to them through a preallocated ring (one producer, many consumers),
/// comes back through a stack of finished jobs; a batch of these costs the reactor one wake-up. No lock, no allocation per job.
/// </summary>
internal sealed unsafe class IoPool : IDisposable
{
    private const int Capacity = 4096;

    private readonly FileJob?[] _ring = new FileJob?[Capacity];
    private readonly Queue<FileJob> _overflow = new();
    private readonly IReactor _reactor;
    private readonly Action<FileJob> _work;
    private readonly Thread[] _threads;
    private readonly int _event;
    private long _head;
    private long _tail;
    private int _sleepers;
    private FileJob? _done;
    private volatile bool _stopping;

    /// <summary>Starts <paramref name="threads"/> threads that call what <paramref name="worker"/> makes, one per thread.</summary>
    internal IoPool(IReactor reactor, string name, int threads, Func<Action<FileJob>> worker)
    {
        _reactor = reactor;
        _work = worker();
        _event = Libc.eventfd(0, Libc.EFD_SEMAPHORE | Libc.EFD_CLOEXEC);
        if (_event < 0) throw new ErrnoException(Sys.LastError, "eventfd: no descriptor to be had; raise the limit of open files");
        _threads = new Thread[threads];
        for (int i = 0; i < threads; i++)
        {
            var work = i == 0 ? _work : worker();
            _threads[i] = new Thread(() => Loop(work)) { Name = $"{name}.io{i}", IsBackground = true };
            _threads[i].Start();
        }
    }

    /// <summary>Hands a job to the next free thread. On the reactor.</summary>
    internal void Submit(FileJob job)
    {
        if (_overflow.Count > 0 || !TryPush(job)) _overflow.Enqueue(job);
        else Wake();
    }

    /// <summary>Ends the threads after what was submitted; no job may be under way whose outcome matters.</summary>
    public void Dispose()
    {
        _stopping = true;
        ulong one = 1;
        foreach (var _ in _threads) Libc.write(_event, &one, 8);
        foreach (var thread in _threads) thread.Join();
        _ = Libc.close(_event);
    }

    private bool TryPush(FileJob job)
    {
        if (_tail - Volatile.Read(ref _head) >= Capacity) return false;
        _ring[_tail & (Capacity - 1)] = job;
        Volatile.Write(ref _tail, _tail + 1);
        return true;
    }

    private bool TryPop(out FileJob job)
    {
        while (true)
        {
            long head = Volatile.Read(ref _head);
            job = null!;
            if (head >= Volatile.Read(ref _tail)) return false;
            // Overwritten only after the head has moved on, and then the swap fails.
            job = _ring[head & (Capacity - 1)]!;
            if (Interlocked.CompareExchange(ref _head, head + 1, head) == head) return true;
        }
    }

    private void Wake()
    {
        // Entry stored, then sleepers loaded: against the sleeper's count stored, then ring loaded.
        Interlocked.MemoryBarrier();
        if (!TryClaimSleeper()) return;
        ulong one = 1;
        _ = Libc.write(_event, &one, 8);
    }

    private bool TryClaimSleeper()
    {
        for (int sleepers = Volatile.Read(ref _sleepers); sleepers > 0; sleepers = Volatile.Read(ref _sleepers))
            if (Interlocked.CompareExchange(ref _sleepers, sleepers - 1, sleepers) == sleepers) return true;
        return false;
    }

    private void Loop(Action<FileJob> work)
    {
        while (true)
        {
            if (TryPop(out var job))
            {
                work(job);
                Finish(job);
                continue;
            }

            if (_stopping) return;
            Interlocked.Increment(ref _sleepers);
            // Work after all: stay awake, unless a wake-up is on its way already, which somebody must take.
            if ((Volatile.Read(ref _head) < Volatile.Read(ref _tail) || _stopping) && TryClaimSleeper()) continue;
            ulong token;
            while (Libc.read(_event, &token, 8) < 0 && Sys.LastError == Xseg.XsegErrno.EINTR) { }
        }
    }

    private void Finish(FileJob job)
    {
        FileJob? head;
        do
        {
            head = Volatile.Read(ref _done);
            job.Next = head;
        }
        while (Interlocked.CompareExchange(ref _done, job, head) != head);
        if (head == null) _reactor.Post(static pool => ((IoPool)pool!).Drain(), this);
    }

    private void Drain()
    {
        FileJob? oldest = null;
        for (var at = Interlocked.Exchange(ref _done, null); at != null;)
        {
            var next = at.Next;
            (at.Next, oldest) = (oldest, at);
            at = next;
        }

        while (oldest != null)
        {
            var job = oldest;
            (oldest, job.Next) = (job.Next, null);
            job.Done.Set(job.Status);
        }

        while (_overflow.Count > 0 && TryPush(_overflow.Peek()))
        {
            _overflow.Dequeue();
            Wake();
        }
    }
}
