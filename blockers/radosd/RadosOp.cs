using Archipelago.Radosd.Librados;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Radosd;

/// <summary>What is asked of RADOS next for an operation.</summary>
internal enum RadosCall : byte
{
    /// <summary>Reads the request's range, into its pages or a bounce buffer.</summary>
    ReadPages,
    /// <summary>Writes the request's pages.</summary>
    WritePages,
    /// <summary>Reads from offset 0 into the operation's buffer.</summary>
    Fetch,
    /// <summary>Replaces the object's content by the operation's buffer.</summary>
    Replace,
    /// <summary>Creates the object if need be.</summary>
    Create,
    /// <summary>Removes the object.</summary>
    Remove,
    /// <summary>Asks for its size.</summary>
    Stat,
    /// <summary>Creates the object if need be and sets its size.</summary>
    Resize,
    /// <summary>Fences another instance, on a helper thread.</summary>
    Fence,
    /// <summary>Zeroes a range and then perhaps sets the size.</summary>
    Clear,
    /// <summary>Writes the second half of the swap's data if the range holds the first.</summary>
    Swap,
    /// <summary>Writes the second half of the swap's data if the range holds that already.</summary>
    SwapAgain,
    /// <summary>Replaces a lock's record if it is the expected one.</summary>
    SwapRecord,
    /// <summary>Lists names, on a helper thread.</summary>
    List,
}

/// <summary>
/// One request on its way through the peer: its place in the order of its object, in the wait for room, and among what a FLUSH
/// waits for. Reused; all links are inside, so that nothing is allocated per request. One reactor.
/// </summary>
internal sealed unsafe class RadosOp
{
    internal Request Request;
    internal RadosOp? NextFree;

    // Order of the object (ObjectOrder).
    internal ObjectOrder.Line? Line;
    internal RadosOp? Earlier, Later;
    internal ulong Start, End;
    internal bool Writes;
    internal int Blockers;
    internal readonly Completion<bool> Turn = new();

    // Room at RADOS (Admission), and the collected turns of ObjectOrder: never both at once.
    internal RadosOp? NextWaiting;
    internal long WaitsSince;
    internal ulong Arrival;
    internal readonly Completion<bool> Room = new();

    // The call itself.
    internal RadosCall Call;
    internal bool NamesSource;
    /// <summary>Name of a lock's object, where this is no request of anybody's: it passes no gate.</summary>
    internal byte[]? Record;
    internal byte[]? Expected, Fresh;
    internal bool Exclusive;
    internal long Bytes;
    internal ulong Offset;
    internal ulong Length;
    internal ulong? NewSize;
    internal SwapData Swap;
    internal byte* Buffer;
    internal bool BufferIsBounce;
    internal int Repeats;
    internal RadosSession? Session;
    internal RadosResult Result;
    internal readonly Completion<bool> Done = new();

    // FLUSH (FlushBarrier).
    internal uint Flow;
    internal ulong Sequence;
    internal RadosOp? EarlierChange, LaterChange;
    internal int Awaited;

    private byte[]? _encoded;

    /// <summary>The RADOS object's name, from the slot; valid until it is asked for again.</summary>
    internal ReadOnlySpan<byte> Name
    {
        get
        {
            var name = Record ?? (NamesSource ? Request.Source : Request.Target);
            return ObjectName.IsPlain(name) ? name : ObjectName.Encode(name, _encoded ??= new byte[ObjectName.Longest]);
        }
    }

    /// <summary>Whether this request, or a part of it, may have taken effect before this execution.</summary>
    internal bool MayHaveRun => Repeats > 0 || Request.Attempts > 0;

    internal void Reset()
    {
        Request = default;
        NamesSource = Exclusive = Writes = BufferIsBounce = false;
        Bytes = 0;
        (Offset, Length, NewSize) = (0, 0, null);
        Swap = default;
        (Record, Expected, Fresh) = (null, null, null);
        Buffer = null;
        (Repeats, Session, Result) = (0, null, default);
    }
}
