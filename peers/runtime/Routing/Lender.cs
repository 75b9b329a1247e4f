using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Runtime.Routing;

/// <summary>
/// Pages that a peer lends to the readers that it answers (a READ without pages of its own): taken from the peer's share,
/// free again when the borrowing slot has moved on. With none to be had a reader waits; it never fails. One reactor.
/// </summary>
/// <param name="context">Of the peer.</param>
/// <param name="reserve">Pages that are never lent: what the peer reads and writes itself must not wait for slow readers.</param>
public sealed class Lender(PeerContext context, int reserve = 0)
{
    private static readonly TimeSpan Retry = TimeSpan.FromMilliseconds(1);

    /// <summary>What the peer uses itself for a moment comes back: what fits here is waited for.</summary>
    private readonly int _share = context.Port.Pages.Count + context.Port.Limbo.Count;

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
        int needed = extents.Length + reserve;
        if (pages.Count < needed && limbo.Drain() >= 0 && pages.Count < needed) limbo.DrainPastSlowReaders();
        if (pages.Count < needed) return false;
        for (int i = 0; i < extents.Length; i++)
            // The count is a hint; a page that a faulty peer took from the share is simply not there.
            if (!pages.TryLend(flow, out extents[i])) return GiveBack(extents[..i]);
        foreach (var extent in extents) limbo.Add(extent.Page);
        return true;
    }

    /// <summary>
    /// Answers a request with bytes, from byte <paramref name="start"/> of the first of its <paramref name="pages"/> on; zeros follow them, which do not count as
    /// serviced. Into its own pages, or lent ones as soon as they can be had: ENOMEM if they never can. EBADMSG if the request lies. Allocates.
    /// </summary>
    public async ValueTask<int> AnswerAsync(Request request, ReadOnlyMemory<byte> bytes, int start, int pages)
    {
        if (!request.TryData(out var data) || data.Count < pages) return context.BadRequest();
        int filled = bytes.Length == 0 ? 0 : (start + bytes.Length + Segment.PageSize - 1) / Segment.PageSize;
        if (filled > pages) return XsegErrno.EINVAL;
        request.Serviced = (ulong)bytes.Length;
        if (data.HasPages) return Fill(request, default, bytes.Span, start, pages) ? 0 : context.BadRequest();
        var lent = new Extent[filled];
        while (filled + reserve <= _share)
        {
            // Taken, filled and named in the slot in one go.
            if (TryTake(request.Flow, lent)) return Fill(request, lent, bytes.Span, start, pages) ? 0 : context.BadRequest();
            await context.Reactor.Delay(Retry);
        }

        context.Log.LogError("{Request}: wants {Wanted} pages, {Pages} can be lent at all; give the peer more (pages)", request, filled, _share - reserve);
        return XsegErrno.ENOMEM;
    }

    private unsafe bool Fill(in Request request, ReadOnlySpan<Extent> lent, ReadOnlySpan<byte> bytes, int start, int pages)
    {
        if (!request.TryData(out var data)) return false;
        bool own = data.HasPages;
        for (int i = 0; i < pages; i++, start = 0)
        {
            var extent = i < lent.Length ? lent[i] : Extent.Zero;
            if (own && data.Owned(i, out extent) == null) return false;
            if (!own && !data.Set(i, extent)) return false;
            if (!own && i >= lent.Length) continue;
            var page = new Span<byte>(context.Segment.PageBytes(extent.Page), Segment.PageSize);
            int count = Math.Min(Segment.PageSize - start, bytes.Length);
            // What a lent page held before belongs to somebody else.
            page.Clear();
            bytes[..count].CopyTo(page[start..]);
            bytes = bytes[count..];
        }

        return true;
    }

    private bool GiveBack(Span<Extent> extents)
    {
        foreach (var extent in extents) context.Port.Pages.Give(extent.Page);
        return false;
    }
}
