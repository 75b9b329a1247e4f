using Archipelago.Xseg.Layout;

namespace Archipelago.Cached;

/// <summary>
/// How many pages the flows of a namespace hold together, and may. One that is limited keeps its pages in the order in which they came, so that it can give up its own
/// whatever else is cached; one that is not keeps none. One reactor.
/// </summary>
/// <param name="space">A <see cref="FlowSpace"/>.</param>
/// <param name="most">Most pages; <see cref="long.MaxValue"/> for no limit.</param>
internal sealed class PageShare(byte space, long most)
{
    internal byte Space { get; } = space;
    /// <summary>Most pages.</summary>
    internal long Most { get; } = most;
    internal bool IsLimited => Most != long.MaxValue;
    /// <summary>Pages that it has.</summary>
    internal long Pages;
    /// <summary>READs of other namespaces' flows that were, or were not, answered from pages of this one.</summary>
    internal long HitsOfOthers, MissesOfOthers;
    /// <summary>Its pages, the one first that has been here for longest, and some that are gone.</summary>
    internal readonly Queue<Extent> Order = new();
}
