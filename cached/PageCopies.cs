using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>
/// The pages of a COPY's source, copied to be the target's: the payload of one request, which is written to the blocker, or not, and then kept
/// as a fill is. Nothing waits for room here: the blocker can copy, too. Source and target are held by the caller, or never change.
/// </summary>
internal sealed class PageCopies(PeerContext context, Store store, ObjectOps objects, Room room, Route blocks)
{
    private const ulong PageMask = 4095;

    /// <summary>True if a COPY is one that pages could serve.</summary>
    internal static bool Fits(in Request request) => request.Offset == 0 && request.Length is > 0 and <= RequestSlot.MaxData;

    /// <summary>True if all of the first <paramref name="size"/> bytes are cached; they are marked as used.</summary>
    internal bool Cover(CachedObject source, ulong size)
    {
        int count = Request.PagesFor(0, size);
        if (count > source.Pages || count > store.Options.Pages / 4) return false;
        for (int bucket = 0; bucket < count; bucket++)
            if (PageOf(source, bucket, size) == 0) return false;
        return true;
    }

    /// <summary>Has the blocker write the pages as a target that does not exist. False if it did not, for whatever reason.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<bool> TryWriteAsync(Request request, CachedObject target, CachedObject source, ulong size)
    {
        var child = await context.AllocateAsync(SlotUse.Forward);
        context.Port.Prepare(child, XsegOp.Write, request.Flow, request.Target, request.Hash, 0, size, request.Flags & RequestFlags.ForceUnitAccess);
        context.Port.SetParent(child, request);
        bool written = TryTake(child, source, size);
        if (written)
        {
            // Zeros of what does not exist.
            store.Forget(target, Existence.Unknown);
            written = await blocks.SubmitAsync(child) == 0;
        }

        if (written)
        {
            (request.Serviced, request.Reply) = (size, child.Reply);
            store.Forget(target, Existence.Yes);
            Keep(child, request.Flow, target, size);
        }

        context.Free(child);
        return written;
    }

    /// <summary>After the blocker has copied: what it has now is here, too, if there is room.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    internal async ValueTask<int> KeepAsync(Request request, CachedObject target, CachedObject source, ulong size)
    {
        var child = await context.AllocateAsync(SlotUse.Forward);
        context.Port.Prepare(child, XsegOp.Read, request.Flow, request.Target, request.Hash, 0, size);
        if (TryTake(child, source, size)) Keep(child, request.Flow, target, size);
        context.Free(child);
        return 0;
    }

    /// <summary>Gives a request copies of the source's pages as its payload; false if there is no room, or not all of them are there any more.</summary>
    private unsafe bool TryTake(in Request child, CachedObject source, ulong size)
    {
        int count = Request.PagesFor(0, size);
        if (!room.HasForRead(count + RequestSlot.MaxIndirect) || !context.Port.TryAttachPages(child, payload: true)) return false;
        if (!IsWhole(child, count, out var data)) return false;
        for (int bucket = 0; bucket < count; bucket++)
        {
            uint page = PageOf(source, bucket, size);
            if (page == 0 || data.Owned(bucket, out var copy) == null) return false;
            int used = Used(bucket, size);
            byte* to = context.Segment.PageBytes(copy.Page);
            Unsafe.CopyBlock(to, context.Segment.PageBytes(page), (uint)used);
            // Beyond its end an object is zeros, whatever the longer source has there.
            new Span<byte>(to + used, 4096 - used).Clear();
        }

        return true;
    }

    private void Keep(in Request child, uint flow, CachedObject target, ulong size)
    {
        int count = Request.PagesFor(0, size);
        if (objects.PolicyOf(flow) == CachePolicy.Off || !IsWhole(child, count, out var data)) return;
        // All of it was forgotten: whose it was does not matter any more.
        if (target.Flow.Index != flow) store.GiveTo(target, flow);
        store.SetExists(target, Existence.Yes);
        for (int bucket = 0; bucket < count; bucket++) store.Keep(target, data, bucket, bucket);
    }

    /// <summary>True if our own slot still says where its data is.</summary>
    private static bool IsWhole(in Request child, int count, out RequestData data) => child.TryData(out data) && data.Count == count && data.RootSlot == child.Slot;

    /// <summary>The page of a bucket, if it has all that the object's first <paramref name="size"/> bytes need of it, else 0.</summary>
    private uint PageOf(CachedObject source, int bucket, ulong size)
    {
        uint page = store.Lookup(source, bucket, true, out var masks, out _);
        byte needed = SectorMasks.Range(0, (Used(bucket, size) + 511) & ~511);
        return page != 0 && (masks.Valid & needed) == needed ? page : 0;
    }

    private static int Used(int bucket, ulong size) => (int)Math.Min(size - ((ulong)bucket << 12), PageMask + 1);
}
