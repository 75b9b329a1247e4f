using Archipelago.Xseg.Layout;

namespace Archipelago.Xseg.Recovery;

/// <summary>What kind of thing a finding is about.</summary>
public enum FsckKind
{
    /// <summary>A note: the process of a port died and no successor has bound it; what it held waits.</summary>
    DeadPort,
    /// <summary>A note: counters of bad requests, stale or damaged ring entries, kept requests are not zero.</summary>
    Counters,
    /// <summary>A note: peers died within seconds of their start; two in a row stop restarts.</summary>
    QuickDeaths,
    /// <summary>The header's state, or the lock file, is not what it was.</summary>
    DamagedHeader,
    /// <summary>An entry of the port table makes no sense.</summary>
    DamagedPort,
    /// <summary>A slot that nobody will ever move on, or that makes no sense.</summary>
    StuckSlot,
    /// <summary>A page that no slot, cache, limbo or share can give back.</summary>
    LeakedPage,
    /// <summary>A page that two slots name as their own.</summary>
    PageNamedTwice,
    /// <summary>A page's entry makes no sense.</summary>
    DamagedPage,
    /// <summary>An answered request names a page that has moved on.</summary>
    StaleLoan,
    /// <summary>Of two cached pages of one bucket the older one.</summary>
    SupersededPage,
    /// <summary>A cached page whose object has no entry or no name: it cannot be destaged.</summary>
    ObjectWithoutName,
    /// <summary>A dirty page that its cache found damaged and keeps: it is neither read nor destaged.</summary>
    QuarantinedPage,
    /// <summary>An entry of the route, flow or object table makes no sense.</summary>
    DamagedTable,
}

/// <summary>One thing that is wrong with a segment, or worth a note.</summary>
/// <param name="Kind">Kind.</param>
/// <param name="Text">What, where, and what that means; one line.</param>
/// <param name="IsRepairable">True if <see cref="Fsck.Repair"/> mends it (it refuses while a peer lives).</param>
public sealed record FsckFinding(FsckKind Kind, string Text, bool IsRepairable)
{
    /// <summary>False for a mere note.</summary>
    public bool IsFault => Kind is not (FsckKind.DeadPort or FsckKind.Counters or FsckKind.QuickDeaths);
}

/// <summary>The pages of a segment by state and by port. Conservation: the states sum up to all pages.</summary>
public sealed class PageCensus
{
    private readonly long[] _byState = new long[256];
    private readonly long[] _byPort;

    internal PageCensus(int ports) => _byPort = new long[ports];

    /// <summary>All pages, the zero page included.</summary>
    public long Total { get; private set; }

    /// <summary>Pages in a state.</summary>
    public long this[PageState state] => _byState[(byte)state];

    /// <summary>Pages that a port has: free, cached, in limbo, lent, or in its slots.</summary>
    public long HeldBy(int port) => _byPort[port];

    internal void Count(PageState state, int port)
    {
        Total++;
        _byState[(byte)state]++;
        if ((uint)port < (uint)_byPort.Length) _byPort[port]++;
    }

    /// <inheritdoc/>
    public override string ToString() =>
        string.Join(", ", Enum.GetValues<PageState>().Where(state => this[state] != 0).Select(state => $"{this[state]} {state.ToString().ToLowerInvariant()}"));
}

/// <summary>What <see cref="Fsck"/> found.</summary>
/// <param name="Findings">Everything that is wrong, and notes.</param>
/// <param name="Pages">The pages by state and port.</param>
/// <param name="SlotsInUse">Request slots that are not free.</param>
/// <param name="LivePorts">Ports that a living process serves.</param>
/// <param name="Repaired">Things that were mended.</param>
public sealed record FsckReport(IReadOnlyList<FsckFinding> Findings, PageCensus Pages, int SlotsInUse, int LivePorts, int Repaired)
{
    /// <summary>True if nothing is wrong; there may be notes.</summary>
    public bool IsClean => !Findings.Any(finding => finding.IsFault);
}
