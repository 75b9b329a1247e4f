using Archipelago.Xseg;

namespace Archipelago.Conformance.Tests.Harness;

/// <summary>What a client sees of an answered request.</summary>
/// <param name="Status">0 or a positive errno.</param>
/// <param name="Serviced">Bytes done or the op's number.</param>
/// <param name="Flags">Stable, Missing.</param>
/// <param name="Data">Bytes of a READ; empty if it failed.</param>
/// <param name="ZeroExtents">Pages of a READ that were answered with the zero page.</param>
/// <param name="Result">The 64 bytes of the result.</param>
public sealed record Reply(int Status, ulong Serviced, ReplyFlags Flags, byte[] Data, int ZeroExtents, byte[] Result);

/// <summary>What a client asks for. The defaults are a request without data.</summary>
public sealed record Ask(XsegOp Op, byte[] Name, ulong Offset = 0, ulong Length = 0)
{
    /// <summary>Flags.</summary>
    public RequestFlags Flags { get; init; }
    /// <summary>Flow table index.</summary>
    public uint Flow { get; init; } = 1;
    /// <summary>Bytes of a WRITE; null attaches no pages at all.</summary>
    public byte[]? Payload { get; init; }
    /// <summary>READ into pages of the client's own, instead of lent ones.</summary>
    public bool Supplied { get; init; }
    /// <summary>Second name.</summary>
    public byte[]? Source { get; init; }
    /// <summary>Lock cookie, up to 64 bytes.</summary>
    public byte[]? Cookie { get; init; }
    /// <summary>Marks this extent of a WRITE as spent: its page was adopted by an earlier execution.</summary>
    public int? Spent { get; init; }
    /// <summary>Says that so many executions may have come before, as whoever takes over from a dead holder does.</summary>
    public byte Attempts { get; init; }
    /// <summary>The hash is not the name's.</summary>
    public bool WrongHash { get; init; }
    /// <summary>A READ without pages attaches no room for the list of extents either.</summary>
    public bool NoList { get; init; }
    /// <summary>Gives up after this long, as CLOCK_BOOTTIME nanoseconds from now; 0 for never.</summary>
    public ulong DeadlineNanoseconds { get; init; }
}
