using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>The writes of a pass, and what becomes of the pages that they carried.</summary>
internal sealed partial class Destager
{
    private const int NoName = -1;

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> WriteAsync(CachedObject of, DestageRun run, bool stable)
    {
        WritesInFlight++;
        int status = 0;
        for (int bucket = run.Bucket, end = run.Bucket + run.Count; bucket < end && status == 0;)
        {
            int wanted = UpToLost(of, bucket, end);
            if (wanted == 0)
            {
                bucket++;
                continue;
            }

            var child = await _context.AllocateAsync();
            int count = Fill(child, of, bucket, wanted, stable);
            if (count > 0)
            {
                long failures = of.Flow.FlushFailures;
                status = await _blocks.SubmitAsync(child);
                if (status == 0 && !TryNoteWritten(child, of, bucket, count, stable, failures)) status = XsegErrno.EBADMSG;
            }
            else if (count == NoName)
            {
                status = XsegErrno.EIO;
            }

            if (status != 0) Failed(of, status);
            _context.Free(child);
            bucket += Math.Max(count, 0);
        }

        WritesInFlight--;
        return status;
    }

    /// <summary>
    /// A bucket with holes: each run of dirty sectors by itself, one after the other, from the page that the bucket has by then:
    /// the one that it had before might be freed meanwhile.
    /// </summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> WriteFragmentsAsync(CachedObject of, int bucket, bool stable)
    {
        WritesInFlight++;
        long failures = of.Flow.FlushFailures;
        uint page = _store.Lookup(of, bucket, false, out var masks, out var first);
        if (page != 0 && masks.Dirty == 0) _store.Lose(of, bucket, page);
        bool lost = page == 0 || masks.Dirty == 0;
        int status = 0;
        bool stableAll = true;
        for (int sector = 0; sector < 8 && status == 0 && !lost;)
        {
            if ((masks.Dirty >> sector & 1) == 0)
            {
                sector++;
                continue;
            }

            int end = sector;
            while (end < 8 && (masks.Dirty >> end & 1) != 0) end++;
            var child = await _context.AllocateAsync();
            lost = _store.Lookup(of, bucket, false, out _, out var now) == 0;
            if (!lost)
            {
                bool named = TryPrepare(child, of, ((ulong)bucket << 12) + (ulong)(sector << 9), (ulong)(end - sector) << 9, stable);
                if (named) _context.Port.AttachForeign(child, 0, now);
                status = named ? await _blocks.SubmitAsync(child) : XsegErrno.EIO;
                stableAll &= stable || (child.Reply & ReplyFlags.Stable) != 0;
            }

            _context.Free(child);
            sector = end;
        }

        if (status != 0) Failed(of, status);
        else if (!lost) Wrote(of, bucket, first, stableAll, failures);
        WritesInFlight--;
        return status;
    }

    /// <summary>
    /// Fills the request with the pages that the buckets have now: newer ones than at the start of the pass are as good, their
    /// valid sectors include the older ones'. It ends with the last dirty sector, so that no object grows by it. Without a page
    /// for the list of extents it carries what fits without one. Returns the buckets that it carries; 0 if one was found lost: try again
    /// around it; or <see cref="NoName"/>.
    /// </summary>
    private int Fill(in Request child, CachedObject of, int bucket, int count, bool stable)
    {
        if (!TryPrepareRun(child, of, bucket, count, stable)) return NoName;
        if (!_context.Port.TryAttachPages(child, payload: false))
        {
            count = Math.Min(count, RequestSlot.InlineExtents);
            if (!TryPrepareRun(child, of, bucket, count, stable)) return NoName;
        }

        for (int i = 0; i < count; i++)
        {
            if (_store.Lookup(of, bucket + i, false, out _, out var page) == 0) return 0;
            _context.Port.AttachForeign(child, i, page);
        }

        return count;
    }

    private bool TryPrepareRun(in Request child, CachedObject of, int bucket, int count, bool stable)
    {
        _store.Lookup(of, bucket + count - 1, false, out var last, out _);
        int sectors = last.Dirty == 0 ? 8 : 32 - System.Numerics.BitOperations.LeadingZeroCount((uint)last.Dirty);
        return TryPrepare(child, of, (ulong)bucket << 12, ((ulong)(count - 1) << 12) + ((ulong)sectors << 9), stable);
    }

    /// <summary>Buckets from <paramref name="bucket"/> on, up to <paramref name="end"/>, of which none is lost.</summary>
    private int UpToLost(CachedObject of, int bucket, int end)
    {
        if (of.LostPages == 0) return end - bucket;
        int count = 0;
        while (bucket + count < end && !_store.IsLost(of, bucket + count)) count++;
        return count;
    }

    private bool TryPrepare(in Request child, CachedObject of, ulong offset, ulong length, bool stable) =>
        _store.TryPrepare(child, XsegOp.Write, of, offset, length, stable ? RequestFlags.ForceUnitAccess : RequestFlags.None);

    /// <summary>False if our own slot does not say any more what was sent: then it is sent again.</summary>
    private bool TryNoteWritten(in Request child, CachedObject of, int bucket, int count, bool stable, long failures)
    {
        stable |= (child.Reply & ReplyFlags.Stable) != 0;
        if (!child.TryData(out var data) || data.Count != count || data.RootSlot != child.Slot) return false;
        if (failures == of.Flow.FlushFailures)
            for (int i = 0; i < count; i++) _store.Destaged(of, bucket + i, data.Get(i), stable);
        Wrote(of, count, stable);
        return true;
    }

    private void Wrote(CachedObject of, int bucket, Extent page, bool stable, long failures)
    {
        if (failures == of.Flow.FlushFailures) _store.Destaged(of, bucket, page, stable);
        Wrote(of, 1, stable);
    }

    private void Wrote(CachedObject of, int count, bool stable)
    {
        // Also where the bucket has a newer page by now: those who waited for the older one rely on the blocker.
        if (!stable) Store.NoteUnstable(of.Flow);
        Writes++;
        PagesWritten += count;
        NoteSuccess(of);
    }

    private unsafe void Failed(CachedObject of, int status)
    {
        Failures++;
        of.Flow.DestageErrors++;
        of.Flow.DestageError = status;
        var flow = _context.Segment.FlowAt(of.Flow.Index);
        if (flow == null || flow->Degraded != 0) return;
        // From here on the guest hears of trouble at once, until the blocker takes writes again.
        Shared.Store(ref flow->Degraded, (byte)1);
        _context.Log.LogError(
            "flow {Flow}: destaging object {Object} failed with errno {Errno}; its {Pages} dirty pages are kept and tried again, and the flow writes through until that succeeds",
            of.Flow.Index, _store.NameOf(of), status, of.DirtyPages);
    }

    private unsafe void NoteSuccess(CachedObject of)
    {
        of.Flow.DestageError = 0;
        var flow = _context.Segment.FlowAt(of.Flow.Index);
        if (flow == null || flow->Degraded == 0) return;
        Shared.Store(ref flow->Degraded, (byte)0);
        _context.Log.LogInformation("flow {Flow}: destaging works again", of.Flow.Index);
    }
}
