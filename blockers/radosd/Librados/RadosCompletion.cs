using System.Runtime.InteropServices;

namespace Archipelago.Radosd.Librados;

/// <summary>
/// One preallocated place for an operation in flight. Owned by its <see cref="CompletionQueue"/>, whose thread fills
/// it at submit and empties it when the result is taken; in between librados' callback thread writes the outcome
/// once and then publishes it by <see cref="ArrivalStack.Push"/>.
/// </summary>
internal sealed unsafe class RadosCompletion
{
    private readonly CompletionQueue _queue;
    private readonly StatBuffer* _stat;
    private GCHandle<RadosCompletion> _self;

    internal RadosCompletion(CompletionQueue queue, StatBuffer* stat)
    {
        _queue = queue;
        _stat = stat;
        _self = new GCHandle<RadosCompletion>(this);
    }

    /// <summary>librados' own completion while in flight, else 0. It is released by the queue's thread only, so that
    /// a cancel never meets a freed one.</summary>
    internal nint Handle;

    internal RadosPool? Pool;
    internal object? State;
    internal long Token;
    internal long Bytes;

    /// <summary>In flight, and the callback was not seen yet by the queue's thread.</summary>
    internal bool Pending;

    internal int ReturnCode;
    internal ulong Version;

    /// <summary>Link of whichever list the completion is in: arrivals, ready or free.</summary>
    internal RadosCompletion? Next;

    /// <summary>Where an asynchronous stat puts its answer; it must not move while the operation runs.</summary>
    internal StatBuffer* Stat => _stat;

    internal ulong ObjectSize => _stat->Size;

    internal long ModifiedSeconds => _stat->Modified;

    /// <summary>Makes librados' side of the completion; 0 or an errno.</summary>
    internal int Arm()
    {
        *_stat = default;
        Version = 0;
        nint handle;
        int code = Native.rados_aio_create_completion2(
            GCHandle<RadosCompletion>.ToIntPtr(_self), &Arrived, &handle);
        if (code < 0)
            return RadosErrno.FromReturn(code);
        Handle = handle;
        return 0;
    }

    internal void ReleaseHandle()
    {
        if (Handle == 0)
            return;
        Native.rados_aio_release(Handle);
        Handle = 0;
    }

    /// <summary>After this the completion can never be armed again.</summary>
    internal void Free() => _self.Dispose();

    /// <summary>librados' callback thread: record, publish, perhaps wake; nothing else happens here.</summary>
    [UnmanagedCallersOnly]
    private static void Arrived(nint handle, nint argument)
    {
        RadosCompletion completion = GCHandle<RadosCompletion>.FromIntPtr(argument).Target;
        completion.ReturnCode = Native.rados_aio_get_return_value(handle);
        completion.Version = Native.rados_aio_get_version(handle);
        completion._queue.Publish(completion);
    }

    internal struct StatBuffer
    {
        internal ulong Size;
        internal long Modified;
    }
}
