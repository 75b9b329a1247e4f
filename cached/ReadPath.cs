using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>
/// READ: a hit lends the buckets' pages; a miss has the missing runs filled first. One reactor.
/// </summary>
internal sealed class ReadPath(PeerContext context, Store store, ObjectOps objects, Sharing sharing, FillPath fills)
{
    private const ulong SectorMask = 511;
    private const int Attempts = 3;
    /// <summary>Buckets that are looked up together.</summary>
    private const int Ahead = 16;

    internal ValueTask<int> Handle(Request request)
    {
        ulong offset = request.Offset, length = request.Length;
        if ((request.Flags & RequestFlags.List) != 0) return new ValueTask<int>(XsegErrno.ENOTSUP);
        if (((offset | length) & SectorMask) != 0) return new ValueTask<int>(XsegErrno.EINVAL);
        if (offset > RequestSlot.MaxData || length > RequestSlot.MaxData - offset) return new ValueTask<int>(XsegErrno.EFBIG);
        var found = store.Find(request.Hash);
        if (found == null || ReaderOf(request, found) is not { } reader || !TryHit(request, found, offset, length, out int status)) return MissAsync(request, offset, length);
        if (status == 0)
        {
            reader.Hits++;
            if (reader != found.Flow) found.Flow.Share.HitsOfOthers++;
        }

        return new ValueTask<int>(status);
    }

    /// <summary>The flow for which a hit is counted, or null if the object's pages are not for this request.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private FlowState? ReaderOf(in Request request, CachedObject of) => of.Flow.Index == request.Flow ? of.Flow : SharerOf(request, of);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private FlowState? SharerOf(in Request request, CachedObject of) =>
        store.IsShared(of) && (request.Flags & RequestFlags.Shared) != 0 ? store.FlowOf(request.Flow) : null;

    /// <summary>Answers from the cache; false if something is missing.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryHit(in Request request, CachedObject of, ulong offset, ulong length, out int status)
    {
        if (!request.TryData(out var data) || data.Count != Request.PagesFor(offset, length))
        {
            status = context.BadRequest();
            return true;
        }

        status = 0;
        if (of.Exists != Existence.Yes)
        {
            // The answer tells whether the object exists: ask.
            if (of.Exists == Existence.Unknown) return false;
            // Zeros are no answer; and what was missing once may have been made since, by another host.
            if ((request.Flags & RequestFlags.MustExist) != 0) return false;
            request.Reply = ReplyFlags.Missing;
        }

        bool copy = data.HasPages;
        int bucket = (int)(offset >> 12);
        for (int i = 0; i < data.Count; i++, bucket++)
        {
            if (i % Ahead == 0 && data.Count > 1) store.Buckets.Prefetch(of.Entry, bucket, Math.Min(Ahead, data.Count - i));
            uint page = store.Lookup(of, bucket, true, out var masks, out var extent);
            if (page == 0) return false;
            if (masks.Valid != 0xFF && (masks.Valid & FillPath.Needed(offset, length, bucket)) != FillPath.Needed(offset, length, bucket)) return false;
            if (copy) status = CopyOut(data, i, page, FillPath.Needed(offset, length, bucket));
            else if (!data.Set(i, extent)) status = XsegErrno.EBADMSG;
            if (status == 0) continue;
            context.Port.CountBadRequest();
            return true;
        }

        request.Serviced = length;
        return true;
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> MissAsync(Request request, ulong offset, ulong length)
    {
        uint flow = request.Flow;
        var reader = store.FlowOf(flow);
        reader.Misses++;
        int pages = Request.PagesFor(offset, length);
        bool shared = (request.Flags & RequestFlags.Shared) != 0;
        uint owner = shared ? store.ShareFlow() : flow;
        if (shared && owner != Store.NoFlow) store.FlowOf(owner).Share.MissesOfOthers++;
        if (owner == Store.NoFlow || objects.PolicyOf(owner) == CachePolicy.Off || pages > store.MostAtOnce(owner)) return await objects.ReadAroundAsync(request);
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            var of = store.FindOrAdd(request, owner, out int status);
            if (of == null)
            {
                if (status != XsegErrno.EAGAIN) return status;
                break;
            }

            bool mine = sharing.IsFor(flow, shared, of);
            if (!mine && !shared && !store.IsShared(of)) break;
            of.Users++;
            if (!mine) status = await sharing.TakeAsync(of, owner);
            bool hit = false;
            if (status == 0 && sharing.IsFor(flow, shared, of))
            {
                if (of.Exists == Existence.Missing && (request.Flags & RequestFlags.MustExist) != 0) store.ForgetMissing(of);
                status = await fills.FillMissingAsync(request, of, offset, length);
                if (status == 0 && of.Exists == Existence.Unknown) status = await objects.ProbeAsync(of);
                // Others may have taken it away from this flow meanwhile.
                if (status == 0 && sharing.IsFor(flow, shared, of)) hit = TryHit(request, of, offset, length, out status);
            }

            of.Users--;
            store.Release(of);
            if (hit || status != 0) return status;
        }

        // What was filled is pushed out or written over faster than it can be read.
        return await objects.ReadAroundAsync(request);
    }

    /// <summary>For readers that bring pages of their own: only the sectors that they asked for, whatever else the page holds.</summary>
    private unsafe int CopyOut(in RequestData data, int index, uint page, byte sectors)
    {
        if (data.Owned(index, out var extent) == null) return XsegErrno.EBADMSG;
        Store.CopySectors(context.Segment.PageBytes(page), context.Segment.PageBytes(extent.Page), sectors);
        return 0;
    }
}
