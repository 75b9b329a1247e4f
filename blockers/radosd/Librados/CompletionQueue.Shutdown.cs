using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Archipelago.Radosd.Librados;

public sealed unsafe partial class CompletionQueue
{
    /// <summary>After a cancel librados calls back within milliseconds; this is for a machine that stalls.</summary>
    private static readonly TimeSpan CancelPatience = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Closes the queue and waits until librados has called back for every operation: up to
    /// <paramref name="grace"/> by itself, then cancelled. Blocks. The caller acts as the consumer thread.
    /// <c>rados_shutdown</c> would otherwise drop the callbacks, and free pools under running operations.
    /// </summary>
    internal void Settle(TimeSpan grace)
    {
        Close();
        Unpark();       // the caller polls; nobody is to be woken any more
        if (!WaitForCallbacks(grace))
        {
            CancelAll();
            WaitForCallbacks(CancelPatience);
        }
        for (RadosCompletion? c = _readyFirst; c is not null; c = c.Next)
            c.ReleaseHandle();
    }

    /// <summary>
    /// After <c>rados_shutdown</c>: no librados thread runs any more. Operations without a callback (none, as far as
    /// we know librados) get ECANCELED here, so that each has a result; their native completions are left alone.
    /// </summary>
    internal void Finish()
    {
        CollectArrivals();
        foreach (RadosCompletion completion in _all)
        {
            if (completion.Pending)
            {
                completion.Handle = 0;
                completion.ReturnCode = -RadosErrno.ECANCELED;
                Publish(completion);
            }
            else
            {
                completion.ReleaseHandle();
                completion.Free();
            }
        }
        CollectArrivals();
    }

    private bool WaitForCallbacks(TimeSpan limit)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            CollectArrivals();
            if (_ready == InFlight)
                return true;
            if (Stopwatch.GetElapsedTime(start) >= limit)
                return false;
            Thread.Sleep(1);
        }
    }

    /// <summary>Frees the native buffers; the results of stats are in them until they are taken.</summary>
    ~CompletionQueue() => NativeMemory.Free(_stats);
}
