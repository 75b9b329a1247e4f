using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>Replacement: which pages are given up for others.</summary>
internal sealed unsafe partial class Store
{
    /// <summary>Evicts all stable pages of an object.</summary>
    internal void DropStable(CachedObject of)
    {
        for (int bucket = 0; bucket < CachedObject.MaxBuckets && of.Pages > 0; bucket++)
        {
            uint page = Lookup(of, bucket, false, out var masks, out _);
            if (page != 0 && (masks.Dirty | masks.Written) == 0) Evict(of, bucket, page);
        }
    }

    /// <summary>Pages that gather in limbo before it is looked at again.</summary>
    private const int DrainEvery = 512;
    private int _drainAt = DrainEvery;

    /// <summary>
    /// Sees to it that <paramref name="pages"/> free pages are at hand, beyond the reserve if that can be had cheaply. False if
    /// they are not: too much is dirty, or lent.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool EnsureFree(int pages)
    {
        if (_port.Limbo.Count >= _drainAt) DrainLimbo();
        return _port.Pages.Count >= pages + Reserve || MakeRoom(pages);
    }

    /// <summary>
    /// Also while there are free pages enough: what was just replaced is given out first, and it is what the processor's caches hold, page
    /// entry and data; else every write would walk through all of the free memory.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void DrainLimbo()
    {
        _port.Limbo.Drain();
        // What is lent for long stays: that alone is no reason to look again.
        _drainAt = _port.Limbo.Count + DrainEvery;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool MakeRoom(int pages)
    {
        if (_port.Limbo.Count > 0) DrainLimbo();
        int missing = pages + (2 * Reserve) - _port.Pages.Count - _port.Limbo.Count;
        if (missing > 0)
        {
            EvictSome(Math.Max(missing, 32));
            _port.Limbo.Drain();
        }

        if (_port.Pages.Count < pages && _port.Limbo.Count > 0) _port.Limbo.DrainPastSlowReaders();
        if (_port.Pages.Count < pages)
        {
            // What is in limbo is lent for long: others have to go instead.
            EvictSome(Math.Max(pages - _port.Pages.Count, 32));
            _port.Limbo.DrainPastSlowReaders();
        }

        return _port.Pages.Count >= pages;
    }

    /// <summary>
    /// Evicts stable pages that had no second use, from where the hand stands. The hand goes a bounded way at a time: where
    /// nearly all is dirty, looking further costs more than waiting for a pass.
    /// </summary>
    private void EvictSome(int wanted)
    {
        uint pages = _segment.PageCount;
        for (long steps = 1024 + (64L * wanted); steps > 0 && wanted > 0; steps--)
        {
            if (++_hand >= pages) _hand = 1;
            var entry = _segment.PageAt(_hand);
            var word = new PageWord(entry->Word);
            if (word.State != PageState.Cache || word.Owner != (uint)_port.Number) continue;
            if (entry->IsUnstable || Buckets.ClearReferenced(entry->Object, entry->Bucket)) continue;
            if (OwnerOf(_hand, out int bucket) is not { } of || of.IsDirty(bucket)) continue;
            Evict(of, bucket, _hand);
            Evictions++;
            wanted--;
            Release(of);
        }
    }

    private void Evict(CachedObject of, int bucket, uint page)
    {
        Buckets.Remove(of.Entry, (ushort)bucket);
        // A fill under way may have been read before what this page held came down.
        if (of.Fills != null) MoveFills(of, bucket, 1);
        if (of.ClearDirty(bucket)) CountDirty(of.Flow, -1);
        of.Pages--;
        of.Flow.Pages--;
        of.Flow.Share.Pages--;
        _port.Limbo.Retire(page);
    }

    /// <summary>The object table is full: gives up the object with the fewest pages, all stable, of some that are looked at.</summary>
    private bool FreeSomeObject()
    {
        const int Looks = 256;
        CachedObject? least = null;
        for (int i = 0; i < Looks; i++)
        {
            var next = Objects.Next(ref _objectHand);
            if (next != null && (least == null || next.Pages < least.Pages) && IsSpare(next)) least = next;
        }

        if (least == null) return false;
        for (int bucket = 0; bucket < CachedObject.MaxBuckets && least.Pages > 0; bucket++)
        {
            uint page = Lookup(least, bucket, false, out _, out _);
            if (page == 0) continue;
            Evict(least, bucket, page);
            Evictions++;
        }

        Release(least);
        return true;
    }

    private bool IsSpare(CachedObject of) => of.LostPages == 0 && !of.IsBusy && !HasUnstable(of);
}
