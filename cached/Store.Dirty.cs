using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>What is dirty, written or stable, and how it changes.</summary>
internal sealed unsafe partial class Store
{
    /// <summary>
    /// The blocker has what page <paramref name="sent"/> held. Only that very version becomes clean: if the bucket has another
    /// page by now, that one stays dirty.
    /// </summary>
    internal void Destaged(CachedObject of, int bucket, Extent sent, bool stable)
    {
        uint page = Lookup(of, bucket, false, out var masks, out var current);
        if (page == 0 || current != sent) return;
        Shared.Store(ref _segment.PageAt(page)->Masks, (masks with { Dirty = 0, Written = stable ? masks.Written : (byte)(masks.Written | masks.Dirty) }).Packed);
        if (!stable && masks.Dirty != 0) NoteWritten(of.Flow, current, masks.Dirty);
        if (of.ClearDirty(bucket)) CountDirty(of.Flow, -1);
    }

    /// <summary>
    /// A FLUSH of the blocker covered what was noted as written before entry number <paramref name="target"/>. If it failed, all
    /// that was noted is dirty again: a later one that succeeds need not mean what this one lost.
    /// </summary>
    internal void Flushed(FlowState flow, long target, bool succeeded)
    {
        if (!succeeded)
        {
            target = long.MaxValue;
            flow.FlushFailures++;
            // Whoever waits for these pages from here on waits for a pass that begins after this.
            Sequence++;
        }

        if (_orphans != null) OrphansFlushed(flow, succeeded);
        while (flow.WrittenTaken < target && flow.Written.TryDequeue(out var written))
        {
            flow.WrittenTaken++;
            WrittenPages--;
            var entry = _segment.PageAt(written.Page.Page);
            if (new PageWord(entry->Word) != new PageWord(PageState.Cache, (uint)_port.Number, written.Page.Generation)) continue;
            var masks = SectorMasks.From(entry->Masks);
            byte sectors = (byte)(masks.Written & written.Sectors);
            if (succeeded && sectors != 0 && flow.WrittenTaken <= flow.WrittenAgain)
            {
                // Whether these sectors are this write's or a later one's the masks do not say: the next FLUSH covers both.
                NoteWritten(flow, written.Page, sectors);
                continue;
            }

            // What the blocker could not make stable may be gone from it: it must be written again.
            byte dirty = succeeded ? masks.Dirty : (byte)(masks.Dirty | sectors);
            Shared.Store(ref entry->Masks, (masks with { Written = (byte)(masks.Written & ~sectors), Dirty = dirty }).Packed);
            if (dirty != 0 && OwnerOf(written.Page.Page, out int bucket) is { } of) MarkDirty(of, bucket);
        }
    }

    /// <summary>
    /// Marks what is cached of the bytes [start, end) as dirty, before the blocker is asked to change them in another way. If
    /// that fails, or we die with it, nobody knows how far it came: then what the cache says becomes true again. If it succeeds
    /// the caller drops the range.
    /// </summary>
    internal void Redirty(CachedObject of, long start, long end)
    {
        for (int bucket = (int)(start >> 12); of.Pages > 0 && bucket < (int)((end + 4095) >> 12); bucket++)
        {
            uint page = Lookup(of, bucket, false, out var masks, out _);
            if (page == 0) continue;
            byte range = SectorMasks.Range((int)Math.Max(start - ((long)bucket << 12), 0), (int)Math.Min(end - ((long)bucket << 12), 4096));
            byte dirty = (byte)(masks.Dirty | (masks.Valid & range));
            if (dirty == masks.Dirty) continue;
            if ((masks.Written & dirty) != 0) of.Flow.WrittenAgain = of.Flow.WrittenTaken + of.Flow.Written.Count;
            Shared.Store(ref _segment.PageAt(page)->Masks, (masks with { Dirty = dirty, Written = (byte)(masks.Written & ~dirty) }).Packed);
            MarkDirty(of, bucket);
        }
    }

    /// <summary>Forgets the bytes [start, end) of an object, 512 B aligned: they are gone, or others, in the blocker.</summary>
    internal void Drop(CachedObject from, long start, long end)
    {
        int first = (int)(start >> 12), last = (int)((end + 4095) >> 12);
        MoveFills(from, first, last - first);
        for (int bucket = first; from.LostPages > 0 && bucket < last; bucket++)
            if (start <= (long)bucket << 12 && end >= ((long)bucket + 1) << 12) Recover(from, bucket);
        if (from.Pages == 0) return;
        for (int bucket = first; bucket < last; bucket++)
        {
            uint page = Lookup(from, bucket, false, out var masks, out _);
            if (page == 0) continue;
            byte gone = SectorMasks.Range((int)Math.Max(start - ((long)bucket << 12), 0), (int)Math.Min(end - ((long)bucket << 12), 4096));
            byte left = (byte)(masks.Valid & ~gone);
            if (left == 0)
            {
                Evict(from, bucket, page);
                continue;
            }

            Shared.Store(ref _segment.PageAt(page)->Masks, (masks with { Valid = left, Dirty = (byte)(masks.Dirty & left), Written = (byte)(masks.Written & left) }).Packed);
            if ((masks.Dirty & left) == 0 && from.ClearDirty(bucket)) CountDirty(from.Flow, -1);
        }
    }

    /// <summary>
    /// A change of the bytes [start, end) failed below, and may have taken effect there all the same (also in an earlier life). What is
    /// stable is forgotten: the blocker knows. What is not must be written again, or a FLUSH would call stable what may be gone.
    /// The object must be held.
    /// </summary>
    internal void Doubt(CachedObject of, long start, long end)
    {
        int first = (int)(start >> 12), last = (int)((end + 4095) >> 12);
        MoveFills(of, first, last - first);
        SetExists(of, of.DirtyPages > 0 ? Existence.Yes : Existence.Unknown);
        Sequence++;
        for (int bucket = first; bucket < last && of.Pages > 0; bucket++)
        {
            uint page = Lookup(of, bucket, false, out var masks, out _);
            if (page == 0) continue;
            byte sectors = SectorMasks.Range((int)Math.Max(start - ((long)bucket << 12), 0), (int)Math.Min(end - ((long)bucket << 12), 4096));
            byte again = (byte)(masks.Written & sectors);
            byte left = (byte)(masks.Valid & ~(sectors & ~(masks.Dirty | masks.Written)));
            if (left == 0)
            {
                Evict(of, bucket, page);
                continue;
            }

            Shared.Store(ref _segment.PageAt(page)->Masks, (masks with { Valid = left, Dirty = (byte)(masks.Dirty | again), Written = (byte)(masks.Written & ~again) }).Packed);
            if (again == 0) continue;
            of.Flow.WrittenAgain = of.Flow.WrittenTaken + of.Flow.Written.Count;
            MarkDirty(of, bucket);
        }
    }

    internal void NoteWritten(FlowState flow, Extent page, byte sectors)
    {
        flow.Written.Enqueue((page, sectors));
        NoteUnstable(flow);
        WrittenPages++;
    }

    /// <summary>The blocker took something of the flow that it has not made stable.</summary>
    internal static void NoteUnstable(FlowState flow)
    {
        flow.Unstable = true;
        flow.Noted++;
    }

    /// <summary>
    /// The blocker made a change that no page here holds, and not stably. If one of its FLUSHes failed meanwhile, of which
    /// <see cref="FlowState.FlushFailures"/> was <paramref name="failures"/> when the change was sent, it may be lost already.
    /// </summary>
    internal void NoteAround(FlowState flow, long failures)
    {
        NoteUnstable(flow);
        flow.Around++;
        if (failures != flow.FlushFailures) OweFlush(flow);
    }

    /// <summary>A FLUSH of the blocker, sent when <paramref name="around"/> changes had gone around the cache, ended.</summary>
    internal void SettleAround(FlowState flow, long around, bool succeeded)
    {
        if (succeeded) flow.AroundSettled = Math.Max(flow.AroundSettled, around);
        else if (flow.Around > flow.AroundSettled) OweFlush(flow);
    }

    /// <summary>What no page holds nobody can write again: all that is left is to say so, also after our own death.</summary>
    private void OweFlush(FlowState flow)
    {
        flow.AroundSettled = flow.Around;
        flow.Losses++;
        if (_segment.FlowAt(flow.Index) is var entry && entry != null) Shared.Store(ref entry->FlushOwed, FlowEntry.Owed);
        _context.Log.LogError("flow {Flow}: the blocker failed a FLUSH; changes that are not in the cache (zeroes, discards, large writes) may be lost. The next FLUSH of the flow fails with EIO", flow.Index);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void MarkDirty(CachedObject of, int bucket)
    {
        if (!of.SetDirty(bucket)) return;
        CountDirty(of.Flow, 1);
        if (of.Listed) return;
        of.DirtySince = _context.Reactor.Now;
        of.Flow.List(of);
    }

    private void CountDirty(FlowState flow, int change)
    {
        DirtyPages += change;
        flow.DirtyPages += change;
    }

    private static void MoveFills(CachedObject of, int first, int count)
    {
        for (var fill = of.Fills; fill != null; fill = fill.Next)
            for (int bucket = Math.Max(first, fill.First); bucket < Math.Min(first + count, fill.First + fill.Count); bucket++) fill.Move(bucket);
    }
}
