namespace Archipelago.Xseg.Layout;

/// <summary>
/// The owner word of a request slot: state (bits 0–7), holder port (8–15), zero (16–31), generation (32–63).
/// The issuer alone moves Free → Owned → Queued and, after the reply, back; the holder alone moves Queued → Running → Replied.
/// Only Queued has two possible writers (the holder accepts, a fence revokes), so both leave it by compare-and-swap.
/// </summary>
public readonly record struct SlotWord(ulong Value)
{
    /// <summary>"No slot" in fields that name one.</summary>
    public const uint NoSlot = uint.MaxValue;

    /// <summary>Packs a word.</summary>
    public SlotWord(SlotState state, int holder, uint generation)
        : this((byte)state | ((ulong)(byte)holder << 8) | ((ulong)generation << 32)) { }

    /// <summary>State.</summary>
    public SlotState State => (SlotState)(byte)Value;
    /// <summary>Port that holds the request (Queued, Running), or that replied (Replied).</summary>
    public int Holder => (byte)(Value >> 8);
    /// <summary>Rises each time the slot is freed; a reference with an old one is stale.</summary>
    public uint Generation => (uint)(Value >> 32);
}

/// <summary>State of a request slot.</summary>
public enum SlotState : byte
{
    /// <summary>May be claimed by its port.</summary>
    Free = 0,
    /// <summary>The issuer prepares it, or reads its result.</summary>
    Owned = 1,
    /// <summary>Handed to the holder, not yet accepted.</summary>
    Queued = 2,
    /// <summary>The holder works on it.</summary>
    Running = 3,
    /// <summary>Answered; the issuer has not yet taken the answer.</summary>
    Replied = 4,
}

/// <summary>The owner word of a page: state (bits 0–7), owner (8–31), generation (32–63).</summary>
public readonly record struct PageWord(ulong Value)
{
    /// <summary>Packs a word.</summary>
    public PageWord(PageState state, uint owner, uint generation)
        : this((byte)state | ((ulong)(owner & 0xFF_FFFF) << 8) | ((ulong)generation << 32)) { }

    /// <summary>State.</summary>
    public PageState State => (PageState)(byte)Value;
    /// <summary>A slot (state Slot), else a port.</summary>
    public uint Owner => (uint)(Value >> 8) & 0xFF_FFFF;
    /// <summary>Rises when the page leaves Free; a loan with an old one is stale.</summary>
    public uint Generation => (uint)(Value >> 32);
}

/// <summary>State of a page.</summary>
public enum PageState : byte
{
    /// <summary>Free, in the share of the owner port.</summary>
    Free = 0,
    /// <summary>Holds the payload, or an indirect extent list, of the owner slot.</summary>
    Slot = 1,
    /// <summary>Is a bucket of the owner port (a shard of cached).</summary>
    Cache = 2,
    /// <summary>Replaced or evicted; the owner port frees it when no slot can still name it.</summary>
    Limbo = 3,
    /// <summary>Lent by the owner port to requests that it answered, without being cached.</summary>
    Lent = 4,
    /// <summary>Under kernel I/O of a dead process.</summary>
    Quarantine = 5,
    /// <summary>Never handed out: the zero page.</summary>
    Reserved = 6,
    /// <summary>In nobody's share yet: ports take their share from here when they bind.</summary>
    Common = 7,
}

/// <summary>
/// An extent: page (bits 0–31) and the page's generation (32–63). Page 0 is the zero page. A spent one (<see cref="IsSpent"/>) replaces
/// an extent whose page was adopted: the write of that part is done, and a replay must not do it again.
/// </summary>
public readonly record struct Extent(ulong Value)
{
    /// <summary>Set in the page half of an extent whose payload has been adopted; the page it names is the exchanged one.</summary>
    public const uint SpentBit = 1u << 31;

    /// <summary>Packs an extent.</summary>
    public Extent(uint page, uint generation) : this(page | ((ulong)generation << 32)) { }

    /// <summary>Zeros: page 0, generation 0.</summary>
    public static Extent Zero => default;
    /// <summary>The page, without the spent bit.</summary>
    public uint Page => (uint)Value & ~SpentBit;
    /// <summary>Generation of the page.</summary>
    public uint Generation => (uint)(Value >> 32);
    /// <summary>The payload was adopted; <see cref="Page"/> is its exchange.</summary>
    public bool IsSpent => ((uint)Value & SpentBit) != 0;
    /// <summary>The same extent, marked as spent.</summary>
    public Extent AsSpent() => new(Value | SpentBit);
}
