using System.Runtime.InteropServices;

namespace Archipelago.Radosd.Librados;

/// <summary>
/// Hands completions from librados' threads (many) to the queue's thread (one) without a lock, an allocation or a
/// capacity: the links are inside the completions. The consumer takes all at once, hence no ABA problem. Also holds
/// the consumer's parked flag, which the producers read after each push.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 192)]
internal struct ArrivalStack
{
    // Alone in its pair of cache lines: librados' threads write here while the consumer works on its own fields.
    [FieldOffset(64)]
    private RadosCompletion? _head;

    [FieldOffset(72)]
    private int _parked;

    internal readonly bool IsEmpty => Volatile.Read(in _head) is null;

    /// <summary>Any thread. True if the consumer is parked and this call has to wake it; at most one push per park
    /// gets true.</summary>
    internal bool Push(RadosCompletion completion)
    {
        RadosCompletion? head = Volatile.Read(ref _head);
        while (true)
        {
            completion.Next = head;
            RadosCompletion? seen = Interlocked.CompareExchange(ref _head, completion, head);
            if (ReferenceEquals(seen, head))
                break;
            head = seen;
        }
        // The exchange above is a full fence: either we see the flag or the consumer sees the push.
        return Volatile.Read(ref _parked) != 0 && Interlocked.Exchange(ref _parked, 0) != 0;
    }

    /// <summary>Consumer: takes everything, newest first (linked by <see cref="RadosCompletion.Next"/>).</summary>
    internal RadosCompletion? TakeAll()
        => Volatile.Read(ref _head) is null ? null : Interlocked.Exchange(ref _head, null);

    /// <summary>Consumer: announces that it is about to sleep; false if something has arrived meanwhile.</summary>
    internal bool TryPark()
    {
        Interlocked.Exchange(ref _parked, 1);
        if (IsEmpty)
            return true;
        Unpark();
        return false;
    }

    /// <summary>Consumer: is awake again.</summary>
    internal void Unpark() => Volatile.Write(ref _parked, 0);
}
