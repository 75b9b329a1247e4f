using Archipelago.Xseg.Layout;

namespace Archipelago.Runtime.Routing;

/// <summary>
/// Pages that a blocker lends to the readers that it answers (a READ without pages of its own): taken from the peer's share,
/// free again when the borrowing slot has moved on. With none to be had a reader waits; it never fails. One reactor.
/// </summary>
public sealed class Lender(PeerContext context)
{
    /// <summary>Pages that can be lent at once, when nobody reads slowly.</summary>
    public int Available => context.Port.Pages.Count + context.Port.Limbo.Count;

    /// <summary>
    /// Takes <paramref name="extents"/>.Length pages for a request of <paramref name="flow"/>; false, with nothing taken, if so many are not
    /// free: try again later, unless they are more than <see cref="Available"/>. They are lent from here on. Fill them and set them as the
    /// request's extents before anything is awaited: a lent page that no slot names is anybody's.
    /// </summary>
    public bool TryTake(uint flow, Span<Extent> extents)
    {
        var (pages, limbo) = (context.Port.Pages, context.Port.Limbo);
        if (pages.Count < extents.Length && limbo.Drain() >= 0 && pages.Count < extents.Length) limbo.DrainPastSlowReaders();
        if (pages.Count < extents.Length) return false;
        for (int i = 0; i < extents.Length; i++)
            // The count is a hint; a page that a faulty peer took from the share is simply not there.
            if (!pages.TryLend(flow, out extents[i])) return GiveBack(extents[..i]);
        foreach (var extent in extents) limbo.Add(extent.Page);
        return true;
    }

    private bool GiveBack(Span<Extent> extents)
    {
        foreach (var extent in extents) context.Port.Pages.Give(extent.Page);
        return false;
    }
}
