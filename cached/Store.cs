using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached;

/// <summary>
/// The cache as a data structure: buckets, objects, masks, replacement. It does no I/O and never waits. One reactor.
/// </summary>
internal sealed unsafe class Store
{
    private const byte AllSectors = 0xFF;
    private readonly PeerContext _context;
    private readonly Port _port;
    private readonly Segment _segment;
    private readonly ObjectTable _objectTable;
    private readonly Stack<CachedObject> _spare = new();
    private readonly FlowState?[] _flows;
    private uint _hand = 1;
    private int _objectHand;

    internal Store(PeerContext context, CachedOptions options)
    {
        (_context, _port, _segment, Options) = (context, context.Port, context.Segment, options);
        // Every page of the share can become a bucket, and a predecessor may have had a larger share.
        Buckets = new BucketIndex(_segment, Math.Max(options.Pages, Math.Max((long)_segment.PortAt(_port.Number)->PageShare, _port.Recovered.PagesCached + (long)_port.Limbo.Count)));
        Objects = new ObjectIndex(_segment.ObjectCount);
        _objectTable = new ObjectTable(_segment, _port.Number);
        _flows = new FlowState?[_segment.FlowCount];
        Reserve = Math.Clamp(options.Pages / 64, 16, 4096);
        DirtyLimit = Math.Max(1, (long)(options.Pages * options.DirtyRatio));
    }

    internal CachedOptions Options { get; }
    internal BucketIndex Buckets { get; }
    internal ObjectIndex Objects { get; }
    /// <summary>Free pages that are kept ready, because those that are given up first pass through the limbo.</summary>
    internal int Reserve { get; }
    internal long DirtyLimit { get; }
    internal long DirtyPages { get; private set; }
    internal long WrittenPages { get; private set; }
    internal long Evictions { get; private set; }
    /// <summary>Raised by each page that becomes a bucket's.</summary>
    internal ulong Sequence { get; set; }
    /// <summary>Flows that were seen.</summary>
    internal List<FlowState> Flows { get; } = [];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal FlowState FlowOf(uint flow) => _flows[flow] ?? AddFlow(flow);

    private FlowState AddFlow(uint flow)
    {
        Flows.Add(_flows[flow] = new FlowState(flow));
        return _flows[flow]!;
    }

    /// <summary>The object of a name, or null if nothing of it is cached.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal CachedObject? Find(in Hash128 hash) => Objects.Find(hash);

    /// <summary>
    /// The object of a name, made if need be. Null if the table is full or the hash is not the name's: <paramref name="status"/>
    /// then says which.
    /// </summary>
    internal CachedObject? FindOrAdd(in Request request, out int status)
    {
        status = 0;
        var hash = request.Hash;
        var found = Objects.Find(hash);
        if (found != null) return found;
        Span<byte> name = stackalloc byte[RequestSlot.MaxTarget];
        var target = request.Target;
        target.CopyTo(name);
        name = name[..target.Length];
        if (name.Length == 0 || Hash128.Of(name) != hash)
        {
            status = XsegErrno.EBADMSG;
            return null;
        }

        if (!_objectTable.TryAdd(name, hash, request.Flow, out uint entry) && (!FreeSomeObject() || !_objectTable.TryAdd(name, hash, request.Flow, out entry)))
        {
            status = XsegErrno.EAGAIN;
            return null;
        }

        return Add(entry, hash, request.Flow);
    }

    /// <summary>Gives an object's entry back once nothing refers to it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Release(CachedObject used)
    {
        if (used.IsIdle) Forget(used);
    }

    /// <summary>Adds the object of an entry that is in use: a new one, or one found after a restart.</summary>
    internal CachedObject Add(uint entry, in Hash128 hash, uint flow)
    {
        var added = _spare.Count > 0 ? _spare.Pop() : new CachedObject();
        (added.Entry, added.Hash, added.Flow) = (entry, hash, FlowOf(flow));
        (added.RetryAt, added.Failures, added.Exists) = (0, 0, Existence.Unknown);
        Objects.Add(added);
        return added;
    }

    /// <summary>
    /// True if the object is the one that the request names, not just one with the hash that it tells: what is done to whole objects
    /// is done by name below, and here to another flow's dirty pages.
    /// </summary>
    internal bool IsNamed(in Request request, CachedObject of) => NameOf(of).SequenceEqual(request.Target);

    internal ReadOnlySpan<byte> NameOf(CachedObject of)
    {
        var entry = _segment.ObjectAt(of.Entry);
        return new ReadOnlySpan<byte>(entry->Name, (int)Math.Min(entry->NameLength, RequestSlot.MaxTarget));
    }

    /// <summary>Page of a bucket and its masks, or 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal uint Lookup(CachedObject of, int bucket, bool touch, out SectorMasks masks, out Extent extent)
    {
        uint page = Buckets.Find(of.Entry, (ushort)bucket, touch);
        if (page == 0)
        {
            (masks, extent) = (default, default);
            return 0;
        }

        var entry = _segment.PageAt(page);
        masks = SectorMasks.From(entry->Masks);
        extent = new Extent(page, new PageWord(entry->Word).Generation);
        return page;
    }

    /// <summary>
    /// Takes the payload page of extent <paramref name="index"/> as the new content of a bucket. Sectors of the old page that
    /// the payload lacks are copied into it first: the old page, which may be lent or in flight, is never written.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal AdoptionOutcome Adopt(CachedObject to, in RequestData data, int index, int bucket, byte sectors)
    {
        uint old = Lookup(to, bucket, false, out var before, out _);
        var masks = new SectorMasks(sectors, sectors, 0, 0);
        // A page that is not the slot's any more was adopted, merged, by a predecessor.
        if (sectors != AllSectors && old != 0 && data.Owned(index, out var payload) != null)
        {
            CopySectors(old, payload.Page, (byte)(before.Valid & ~sectors));
            masks = new SectorMasks((byte)(before.Valid | sectors), (byte)(before.Dirty | sectors), (byte)(before.Written & ~sectors), 0);
        }

        var outcome = Adoption.Adopt(_port, data, index, to.Entry, (ushort)bucket, (ushort)to.Flow.Index, masks, ++Sequence, 0, out var page);
        if (outcome != AdoptionOutcome.Adopted) return outcome;
        Replace(to, bucket, page, masks, old);
        to.Exists = Existence.Yes;
        if (to.Fills != null) MoveFills(to, bucket, 1);
        return outcome;
    }

    /// <summary>
    /// Takes a page that was read from the blocker as the content of a bucket, under whatever valid sectors the bucket has.
    /// </summary>
    internal bool Keep(CachedObject to, in RequestData data, int index, int bucket)
    {
        uint old = Lookup(to, bucket, false, out var before, out _);
        if (old != 0)
        {
            if (data.Owned(index, out var filled) == null) return false;
            CopySectors(old, filled.Page, before.Valid);
        }

        var masks = before with { Valid = AllSectors };
        if (!Adoption.TryKeep(_port, data, index, to.Entry, (ushort)bucket, (ushort)to.Flow.Index, masks, ++Sequence, 0, out var page)) return false;
        Replace(to, bucket, page, masks, old);
        return true;
    }

    /// <summary>Takes in a page found after a restart; false if the bucket has a newer one, or the older one had to go.</summary>
    internal bool Recovered(CachedObject of, uint page)
    {
        var entry = _segment.PageAt(page);
        uint other = Buckets.Find(of.Entry, entry->Bucket, false);
        if (other != 0 && _segment.PageAt(other)->Sequence > entry->Sequence)
        {
            _port.Limbo.Retire(page);
            return false;
        }

        var masks = SectorMasks.From(entry->Masks);
        var extent = new Extent(page, new PageWord(entry->Word).Generation);
        Replace(of, entry->Bucket, extent, masks, other);
        if (masks.Dirty == 0 && of.ClearDirty(entry->Bucket)) CountDirty(of.Flow, -1);
        if (masks.Dirty != 0) of.Exists = Existence.Yes;
        return other == 0;
    }

    /// <summary>Copies a bucket's valid sectors over <paramref name="target"/>, a page of 4 KiB that was read from below.</summary>
    internal void Overlay(CachedObject from, int bucket, byte* target)
    {
        uint page = Lookup(from, bucket, false, out var masks, out _);
        if (page != 0) CopySectors(_segment.PageBytes(page), target, masks.Valid);
    }

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

        while (flow.WrittenTaken < target && flow.Written.TryDequeue(out var written))
        {
            flow.WrittenTaken++;
            WrittenPages--;
            var entry = _segment.PageAt(written.Page.Page);
            if (new PageWord(entry->Word) != new PageWord(PageState.Cache, (uint)_port.Number, written.Page.Generation)) continue;
            var masks = SectorMasks.From(entry->Masks);
            byte sectors = (byte)(masks.Written & written.Sectors);
            // What the blocker could not make stable may be gone from it: it must be written again.
            byte dirty = succeeded ? masks.Dirty : (byte)(masks.Dirty | sectors);
            Shared.Store(ref entry->Masks, (masks with { Written = (byte)(masks.Written & ~sectors), Dirty = dirty }).Packed);
            if (dirty != 0 && FindByEntry(entry->Object) is { } of) MarkDirty(of, entry->Bucket);
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
            Shared.Store(ref _segment.PageAt(page)->Masks, (masks with { Dirty = dirty, Written = (byte)(masks.Written & ~dirty) }).Packed);
            MarkDirty(of, bucket);
        }
    }

    /// <summary>Forgets the bytes [start, end) of an object, 512 B aligned: they are gone, or others, in the blocker.</summary>
    internal void Drop(CachedObject from, long start, long end)
    {
        int first = (int)(start >> 12), last = (int)((end + 4095) >> 12);
        MoveFills(from, first, last - first);
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
        of.Exists = of.DirtyPages > 0 ? Existence.Yes : Existence.Unknown;
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
            if (again != 0) MarkDirty(of, bucket);
        }
    }

    /// <summary>Evicts all stable pages of an object.</summary>
    internal void DropStable(CachedObject of)
    {
        for (int bucket = 0; bucket < CachedObject.MaxBuckets && of.Pages > 0; bucket++)
        {
            uint page = Lookup(of, bucket, false, out var masks, out _);
            if (page != 0 && (masks.Dirty | masks.Written) == 0) Evict(of, bucket, page);
        }
    }

    /// <summary>
    /// Sees to it that <paramref name="pages"/> free pages are at hand, beyond the reserve if that can be had cheaply. False if
    /// they are not: too much is dirty, or lent.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool EnsureFree(int pages) => _port.Pages.Count >= pages + Reserve || MakeRoom(pages);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool MakeRoom(int pages)
    {
        if (_port.Limbo.Count > 0) _port.Limbo.Drain();
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
            if ((entry->Masks & 0x00FF_FF00) != 0 || Buckets.ClearReferenced(entry->Object, entry->Bucket)) continue;
            if (FindByEntry(entry->Object) is not { } of) continue;
            Evict(of, entry->Bucket, _hand);
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
        _port.Limbo.Retire(page);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Replace(CachedObject of, int bucket, Extent page, in SectorMasks masks, uint old)
    {
        Buckets.Set(of.Entry, (ushort)bucket, page.Page);
        if (old != 0)
        {
            _port.Limbo.Retire(old);
        }
        else
        {
            of.Pages++;
            of.Flow.Pages++;
        }

        if (masks.Dirty != 0) MarkDirty(of, bucket);
        if (masks.Written != 0) NoteWritten(of.Flow, page, masks.Written);
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

    private void CopySectors(uint from, uint to, byte sectors) => CopySectors(_segment.PageBytes(from), _segment.PageBytes(to), sectors);

    internal static void CopySectors(byte* from, byte* to, byte sectors)
    {
        if (sectors == AllSectors)
        {
            Unsafe.CopyBlock(to, from, 4096);
            return;
        }

        for (int sector = 0; sector < 8; sector++)
            if ((sectors >> sector & 1) != 0) Unsafe.CopyBlock(to + (sector << 9), from + (sector << 9), 512);
    }

    internal CachedObject? FindByEntry(uint entry)
    {
        var named = _segment.ObjectAt(entry);
        return named == null ? null : Objects.Find(new Hash128(named->HashLow, named->HashHigh));
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

    private bool IsSpare(CachedObject of)
    {
        if (of.DirtyPages > 0 || of.IsBusy) return false;
        for (int bucket = 0, seen = 0; bucket < CachedObject.MaxBuckets && seen < of.Pages; bucket++)
        {
            if (Lookup(of, bucket, false, out var masks, out _) == 0) continue;
            if (masks.Written != 0) return false;
            seen++;
        }

        return true;
    }

    private void Forget(CachedObject idle)
    {
        idle.Flow.Unlist(idle);
        Objects.Remove(idle);
        _objectTable.Remove(idle.Entry);
        _spare.Push(idle);
    }
}
