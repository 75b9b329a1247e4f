using System.Runtime.CompilerServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Ports;

/// <summary>
/// A request as its issuer or its holder sees it: a view of one slot, cheap to copy. Fields are read from shared memory each
/// time: read once into a local, check, then use. Nothing here can reach outside the segment, whatever the slot holds.
/// </summary>
public readonly unsafe struct Request : IEquatable<Request>
{
    private readonly RequestSlot* _slot;

    internal Request(Segment segment, RequestSlot* slot, uint number, uint generation)
    {
        Segment = segment;
        _slot = slot;
        Slot = number;
        Generation = generation;
    }

    /// <summary>The segment.</summary>
    public Segment Segment { get; }
    /// <summary>Number of the slot.</summary>
    public uint Slot { get; }
    /// <summary>Generation of the slot when this view was made.</summary>
    public uint Generation { get; }
    /// <summary>False for the default value.</summary>
    public bool IsValid => _slot != null;
    /// <summary>The slot itself.</summary>
    public RequestSlot* Pointer => _slot;
    /// <summary>Port that issued the request.</summary>
    public int Issuer => (int)(Slot >> Segment.SlotShift);
    /// <summary>The owner word.</summary>
    public SlotWord Word => new(Volatile.Read(ref _slot->Word));

    /// <summary>The operation.</summary>
    public XsegOp Op => (XsegOp)_slot->Op;
    /// <summary>Flags.</summary>
    public RequestFlags Flags => (RequestFlags)_slot->Flags;
    /// <summary>Byte offset in the target.</summary>
    public ulong Offset => _slot->Offset;
    /// <summary>Bytes asked for.</summary>
    public ulong Length => _slot->Length;
    /// <summary>Flow table index.</summary>
    public uint Flow => _slot->Flow;
    /// <summary>Hash of the target.</summary>
    public Hash128 Hash => new(_slot->HashLow, _slot->HashHigh);
    /// <summary>Name of the target.</summary>
    public ReadOnlySpan<byte> Target => new(_slot->Target, Math.Min(_slot->TargetLength, (ushort)RequestSlot.MaxTarget));
    /// <summary>Second name (the source of COPY).</summary>
    public ReadOnlySpan<byte> Source => new(_slot->Source, (int)Math.Min(_slot->SourceLength, RequestSlot.MaxTarget));
    /// <summary>Identity of an op that may take effect only once: its issuer's, or that of the request that it is part of; 0 if it has none.</summary>
    public UInt128 Identity => new(_slot->IdentityHigh, _slot->IdentityLow);
    /// <summary>Deadline in CLOCK_BOOTTIME nanoseconds, 0 for none.</summary>
    public ulong Deadline => _slot->Deadline;
    /// <summary>Trace id or 0.</summary>
    public ulong TraceId => _slot->TraceId;
    /// <summary>Times that a holder died with the request.</summary>
    public int Attempts => _slot->Attempts;
    /// <summary>Bytes done or the op's numeric result.</summary>
    public ulong Serviced
    {
        get => _slot->Serviced;
        set => Shared.Store(ref _slot->Serviced, value);
    }

    /// <summary>What the holder adds to the status.</summary>
    public ReplyFlags Reply
    {
        get => (ReplyFlags)_slot->Reply;
        set => Shared.Store(ref _slot->Reply, (byte)value);
    }

    /// <summary>Status of a replied request: 0 or a positive errno.</summary>
    public int Status => (int)_slot->Status;
    /// <summary>Space for the result of HASH, or a lock's cookie: 64 bytes.</summary>
    public Span<byte> Result => new(_slot->Result, 64);

    /// <summary>Pages that the bytes [offset, offset + length) touch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int PagesFor(ulong offset, ulong length) => length == 0 ? 0 : (int)(((offset & 4095) + length + 4095) >> 12);

    /// <summary>
    /// The data of the request: the extents of its root. False if the root is gone or the range does not fit, which only a
    /// faulty peer can cause: answer EBADMSG.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryData(out RequestData data)
    {
        uint rootNumber = _slot->RootSlot;
        int first = _slot->RootFirst;
        ulong length = _slot->Length;
        var root = rootNumber == Slot ? _slot : Segment.SlotAt(rootNumber);
        // MAPR asks about a range of any length and is answered with one page of entries.
        int pages = _slot->Op == (byte)XsegOp.MapRead ? 1 : length > RequestSlot.MaxData ? int.MaxValue : PagesFor(_slot->Offset, length);
        if (root == null || pages > RequestSlot.MaxExtents - first
            || (rootNumber != Slot && !IsRoot(root)))
        {
            data = default;
            return false;
        }

        data = new RequestData(Segment, root, rootNumber, first, pages);
        return true;
    }

    /// <summary>Pages of another flow are not to be had through a slot that lies about its root.</summary>
    private bool IsRoot(RequestSlot* root)
    {
        var word = new SlotWord(Volatile.Read(ref root->Word));
        return word.Generation == _slot->RootGeneration && word.State != SlotState.Free && root->Flow == _slot->Flow;
    }

    /// <inheritdoc/>
    public bool Equals(Request other) => _slot == other._slot && Generation == other.Generation;
    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Request other && Equals(other);
    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Slot, Generation);
    /// <inheritdoc/>
    public override string ToString() => IsValid ? $"{Op} slot {Slot}/{Generation} {System.Text.Encoding.UTF8.GetString(Target)} [{Offset}+{Length}] flow {Flow}" : "no request";
}
