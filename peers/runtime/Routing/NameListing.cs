using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Runtime.Routing;

/// <summary>
/// A READ with LIST that a blocker answers: names are collected, by any one thread, position by position of the blocker's own order, as far as
/// they fit; what does not fit whole is left to the next cursor.
/// </summary>
public sealed class NameListing
{
    /// <summary>The cursor behind the last name.</summary>
    public const ulong End = ulong.MaxValue;
    /// <summary>Least bytes that a listing asks for.</summary>
    public const int MinCapacity = 64 << 10;
    /// <summary>Most bytes that a name takes.</summary>
    public const int MaxRecord = sizeof(ushort) + RequestSlot.MaxTarget;

    private readonly int _capacity;
    // Grows with what is found: most listings ask for far more than there is.
    private byte[] _records = [];
    private ulong _position;
    private int _used, _mark;

    private NameListing(ulong cursor, int capacity) => (Cursor, Next, _capacity) = (cursor, End, capacity);

    /// <summary>Where to begin.</summary>
    public ulong Cursor { get; }
    /// <summary>Where the next listing is to begin.</summary>
    public ulong Next { get; private set; }
    /// <summary>Bytes that are left.</summary>
    public int Room => _capacity - _used;

    /// <summary>Reads the request: 0, or EINVAL.</summary>
    public static int TryBegin(in Request request, out NameListing listing)
    {
        ulong length = request.Length;
        bool good = request.Offset == 0 && length is >= MinCapacity and <= RequestSlot.MaxData && request.Target.IsEmpty;
        listing = new NameListing(good ? CursorOf(request) : 0, good ? (int)length : 0);
        return good ? 0 : XsegErrno.EINVAL;
    }

    /// <summary>Begins anew: an attempt has failed.</summary>
    public void Clear() => (Next, _used, _mark, _position) = (End, 0, 0, 0);

    /// <summary>All of the positions before this one is there.</summary>
    public void BeginPosition(ulong position) => (_position, _mark) = (position, _used);

    /// <summary>Adds a name; false if it does not fit: the listing ends where its position began.</summary>
    public bool TryAdd(ReadOnlySpan<byte> name)
    {
        if (Room < sizeof(ushort) + name.Length)
        {
            (Next, _used) = (_position, _mark);
            return false;
        }

        if (_records.Length < _used + MaxRecord) Array.Resize(ref _records, Math.Max(4096, 2 * _records.Length));
        BinaryPrimitives.WriteUInt16LittleEndian(_records.AsSpan(_used), (ushort)name.Length);
        name.CopyTo(_records.AsSpan(_used + sizeof(ushort)));
        _used += sizeof(ushort) + name.Length;
        return true;
    }

    /// <summary>The listing ends before <paramref name="next"/>; what of that position is there already comes again.</summary>
    public void EndAt(ulong next) => Next = next;

    /// <summary>0, or EOVERFLOW if not even one position fitted.</summary>
    public int Status => Next != End && (_used == 0 || Next <= Cursor) ? XsegErrno.EOVERFLOW : 0;

    /// <summary>Answers the request with what was collected, into its own pages or lent ones as soon as they can be had. On the reactor.</summary>
    public async ValueTask<int> AnswerAsync(Lender lender, Request request)
    {
        int status = await lender.AnswerAsync(request, _records.AsMemory(0, _used), 0, Request.PagesFor(0, (ulong)_capacity));
        if (status == 0) StoreCursor(request);
        return status;
    }

    /// <summary>
    /// The cursor is replaced before the answer is there, and whoever dies in between leaves the next one to his successor, who would skip
    /// names: so behind it lies which cursor became which, stored first.
    /// </summary>
    private void StoreCursor(in Request request)
    {
        var words = MemoryMarshal.Cast<byte, ulong>(request.Result);
        Volatile.Write(ref words[1], Cursor);
        Volatile.Write(ref words[2], Next);
        Volatile.Write(ref words[0], Next);
    }

    private static ulong CursorOf(in Request request)
    {
        var words = MemoryMarshal.Cast<byte, ulong>(request.Result);
        ulong cursor = words[0];
        // Where an issuer left the words of its last listing there, names come twice, which they may.
        return request.Attempts > 0 && cursor == words[2] && words[1] < cursor ? words[1] : cursor;
    }
}
