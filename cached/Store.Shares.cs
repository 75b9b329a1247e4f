using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>Shares of namespaces: who is at its limit gives up its own pages, not others'. A step per page that is taken, on average; nothing where there is no limit.</summary>
internal sealed unsafe partial class Store
{
    /// <summary>Pages with a second chance that are passed over for one that goes; beyond, the next one goes all the same.</summary>
    private const int MostChances = 256;
    /// <summary>Pages that cannot go that are passed over.</summary>
    private const int MostSteps = 1024;
    private PageShare[] _shares = null!;

    /// <summary>By <see cref="FlowSpace"/>.</summary>
    internal IReadOnlyList<PageShare> Shares => _shares;

    private void SetShares() => _shares =
        [new PageShare(FlowSpace.Data, long.MaxValue), new PageShare(FlowSpace.Maps, MostOf(Options.MapsShare)), new PageShare(FlowSpace.Shared, MostOf(Options.ImagesShare))];

    private long MostOf(double share) => share >= 1 ? long.MaxValue : Math.Max(1, (long)(Options.Pages * share));

    /// <summary>The share that a flow's pages count in, which it has none of yet: what a number stands for may have changed.</summary>
    private PageShare ShareOf(uint flow)
    {
        var entry = _segment.FlowAt(flow);
        return entry == null || entry->Namespace >= _shares.Length ? _shares[FlowSpace.Data] : _shares[entry->Namespace];
    }

    /// <summary>True if a flow may have so many pages more, where need be because others of its namespace go.</summary>
    internal bool MayTake(FlowState flow, int pages) => !flow.Share.IsLimited || MakeShare(flow.Share, pages);

    /// <summary>Most pages that one request of a flow may bring in.</summary>
    internal long MostAtOnce(uint flow) => Math.Min(Options.Pages / 4, FlowOf(flow).Share.Most);

    /// <summary>After a restart with a smaller share than before.</summary>
    internal void TrimShares()
    {
        foreach (var share in _shares)
            while (share.Pages > share.Most && EvictOf(share))
            {
            }
    }

    private bool MakeShare(PageShare share, int pages)
    {
        while (share.Pages + pages > share.Most)
            if (!EvictOf(share)) return false;
        return true;
    }

    private void NoteTaken(PageShare share, Extent page)
    {
        // What went in other ways is still in the order; it is taken out before it is most of it.
        if (share.Order.Count > (2 * share.Most) + 64)
            for (int left = share.Order.Count; left > 0; left--)
                if (share.Order.Dequeue() is var old && IsHere(old)) share.Order.Enqueue(old);
        share.Order.Enqueue(page);
    }

    private bool IsHere(Extent page) => new PageWord(_segment.PageAt(page.Page)->Word) == new PageWord(PageState.Cache, (uint)_port.Number, page.Generation);

    private bool EvictOf(PageShare share)
    {
        int chances = MostChances;
        for (int steps = Math.Min(MostSteps, share.Order.Count); steps > 0 && share.Order.TryDequeue(out var page);)
        {
            if (!IsHere(page) || OwnerOf(page.Page, out int bucket) is not { } of || of.Flow.Share != share) continue;
            var entry = _segment.PageAt(page.Page);
            if (entry->IsUnstable || of.IsDirty(bucket) || (Buckets.ClearReferenced(of.Entry, (ushort)bucket) && chances-- > 0))
            {
                steps--;
                share.Order.Enqueue(page);
                continue;
            }

            Evict(of, bucket, page.Page);
            Evictions++;
            Release(of);
            return true;
        }

        return false;
    }
}
