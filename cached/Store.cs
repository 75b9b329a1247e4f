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
internal sealed unsafe partial class Store
{
    private const byte AllSectors = 0xFF;
    private readonly PeerContext _context;
    private readonly Port _port;
    private readonly Segment _segment;
    private readonly Stack<CachedObject> _spare = new();
    private readonly FlowState?[] _flows;
    private readonly CachedObject?[] _byEntry;
    /// <summary>Low half of the owner word of a page that this cache has.</summary>
    private readonly uint _cachedHere;
    private uint _hand = 1;
    private int _objectHand;

    internal Store(PeerContext context, CachedOptions options)
    {
        (_context, _port, _segment, Options) = (context, context.Port, context.Segment, options);
        SetShares();
        // Every page of the share can become a bucket, and a predecessor may have had a larger share.
        long pages = Math.Max(options.Pages, Math.Max((long)_segment.PortAt(_port.Number)->PageShare, _port.Recovered.PagesCached + (long)_port.Limbo.Count));
        Buckets = new BucketIndex(_segment, Math.Min(pages, _segment.PageCount));
        Objects = new ObjectIndex(_segment.ObjectCount);
        _flows = new FlowState?[_segment.FlowCount];
        _byEntry = new CachedObject?[_segment.ObjectCount];
        Table = new ObjectTable(_segment, _port.Number, _byEntry);
        _cachedHere = (uint)new PageWord(PageState.Cache, (uint)_port.Number, 0).Value;
        Buckets.Stray = OnStray;
        FindSharedFlow();
        Reserve = Math.Clamp(options.Pages / 64, 16, 4096);
        DirtyLimit = Math.Max(1, (long)(options.Pages * options.DirtyRatio));
        DirtyShare = Math.Max(1, DirtyLimit / 16);
    }

    internal CachedOptions Options { get; }
    internal BucketIndex Buckets { get; }
    internal ObjectTable Table { get; }
    internal ObjectIndex Objects { get; }
    /// <summary>Free pages that are kept ready, because those that are given up first pass through the limbo.</summary>
    internal int Reserve { get; }
    internal long DirtyLimit { get; }
    /// <summary>Dirty pages that each flow may have, whatever others have.</summary>
    internal long DirtyShare { get; }
    internal long DirtyPages { get; private set; }
    internal long WrittenPages { get; private set; }
    internal long Evictions { get; private set; }
    /// <summary>Raised by each page that becomes a bucket's.</summary>
    internal ulong Sequence { get; set; }
    /// <summary>Flows that were seen.</summary>
    internal List<FlowState> Flows { get; } = [];

    /// <summary>
    /// Page of a bucket and its masks, or 0. A page whose entry is not as we left it is none: see <see cref="Lose"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal uint Lookup(CachedObject of, int bucket, bool touch, out SectorMasks masks, out Extent extent)
    {
        uint page = Buckets.Find(of.Entry, (ushort)bucket, touch);
        if (page != 0)
        {
            var entry = _segment.PageAt(page);
            ulong word = entry->Word;
            uint packed = entry->Masks;
            masks = SectorMasks.From(packed);
            extent = new Extent(page, (uint)(word >> 32));
            if ((uint)word == _cachedHere && entry->Flow == (ushort)of.Flow.Index && IsSound(packed)) return page;
        }

        if (page != 0 || Buckets.Lost != 0 || of.IsDirty(bucket)) Lose(of, bucket, page);
        (masks, extent) = (default, default);
        return 0;
    }

    /// <summary>Every sector that is dirty or written is valid, some are, and there is no mark.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static bool IsSound(uint masks) => (((masks >> 8) | (masks >> 16)) & ~masks & 0xFF) == 0 && masks >> 24 == 0 && (masks & 0xFF) != 0;

    /// <summary>
    /// Takes the payload page of extent <paramref name="index"/> as the new content of a bucket. Sectors of the old page that
    /// the payload lacks are copied into it first: the old page, which may be lent or in flight, is never written.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal AdoptionOutcome Adopt(CachedObject to, in RequestData data, int index, int bucket, byte sectors)
    {
        uint old = Lookup(to, bucket, false, out var before, out _);
        // Only all of it can take the place of what is lost.
        if (to.LostPages != 0 && sectors != AllSectors && IsLost(to, bucket)) return AdoptionOutcome.NotOwned;
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
        if (to.LostPages != 0) Recover(to, bucket);
        if (to.Exists != Existence.Yes) SetExists(to, Existence.Yes);
        if (to.Fills != null) MoveFills(to, bucket, 1);
        return outcome;
    }

    /// <summary>
    /// Takes a page that was read from the blocker as the content of a bucket, under whatever valid sectors the bucket has.
    /// </summary>
    internal bool Keep(CachedObject to, in RequestData data, int index, int bucket)
    {
        uint old = Lookup(to, bucket, false, out var before, out _);
        // What the blocker has is older.
        if (to.LostPages != 0 && IsLost(to, bucket)) return false;
        if (old == 0 && !MayTake(to.Flow, 1)) return false;
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

    /// <summary>Takes in a page found after a restart, whose entry was checked; false if the bucket has a newer one, or the older one had to go.</summary>
    internal bool Recovered(CachedObject of, uint page, in PageEntry entry)
    {
        uint other = Buckets.Find(of.Entry, entry.Bucket, false);
        if (other != 0 && _segment.PageAt(other)->Sequence > entry.Sequence)
        {
            _port.Limbo.Retire(page);
            return false;
        }

        var masks = SectorMasks.From(entry.Masks);
        var extent = new Extent(page, new PageWord(entry.Word).Generation);
        Replace(of, entry.Bucket, extent, masks, other);
        if (masks.Dirty == 0 && of.ClearDirty(entry.Bucket)) CountDirty(of.Flow, -1);
        // A fill kept it, which says so where the object was missing; or a write.
        if (masks.Dirty != 0 || of.Exists == Existence.Unknown) SetExists(of, Existence.Yes);
        return other == 0;
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
            of.Flow.Share.Pages++;
        }

        if (of.Flow.Share.IsLimited) NoteTaken(of.Flow.Share, page);

        if (masks.Dirty != 0) MarkDirty(of, bucket);
        if (masks.Written != 0) NoteWritten(of.Flow, page, masks.Written);
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
}
