using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cached;

/// <summary>
/// Objects whose entries were found damaged after a restart. Their pages are as sound as any, and stay as they are in the segment, so that
/// the next successor finds them too; FLUSHes of their flows fail until a request names the object, which mends the entry.
/// </summary>
internal sealed unsafe partial class Store
{
    /// <summary>Null if there are none, which is all that the way of a new object looks at.</summary>
    private List<Orphan>? _orphans;

    /// <summary>Damaged entries that wait for a request that names their objects.</summary>
    internal int Orphans => _orphans?.Count ?? 0;

    /// <summary>
    /// The object that <paramref name="hash"/> and <paramref name="name"/> name, for who does not make one: also if its entry is damaged.
    /// Null with an errno if that cannot be mended.
    /// </summary>
    internal CachedObject? FindNamed(in Hash128 hash, ReadOnlySpan<byte> name, uint flow, out int status)
    {
        status = 0;
        var found = Objects.Find(hash);
        if (found != null || _orphans == null) return found;
        // The slot may change under our hands.
        Span<byte> copy = stackalloc byte[RequestSlot.MaxTarget];
        name.CopyTo(copy);
        copy = copy[..name.Length];
        return copy.Length != 0 && Hash128.Of(copy) == hash ? Reclaim(copy, hash, flow, out status) : null;
    }

    /// <summary>As <see cref="FindNamed(in Hash128, ReadOnlySpan{byte}, uint, out int)"/>, of a request's target.</summary>
    internal CachedObject? FindNamed(in Request request, out int status) => FindNamed(request.Hash, request.Target, request.Flow, out status);

    /// <summary>Keeps a damaged entry and its pages. What of them is dirty is lost for now.</summary>
    internal void Keep(Orphan orphan)
    {
        (_orphans ??= []).Add(orphan);
        DamagedObjects++;
        foreach (var (_, flow, isLost) in orphan.Pages)
        {
            // Also of what is not lost: a FLUSH of all flows must know it.
            var of = FlowOf(flow);
            if (isLost) CountLost(of, 1);
        }
    }

    /// <summary>The object of a name whose hash was checked, if a damaged entry is its; else null, with EIO where the flow is another one.</summary>
    private CachedObject? Reclaim(ReadOnlySpan<byte> name, in Hash128 hash, uint flow, out int status)
    {
        status = 0;
        foreach (var orphan in _orphans!)
        {
            if (!Table.Resembles(orphan.Entry, name, hash)) continue;
            bool agrees = orphan.Pages.Exists(page => page.Flow == (ushort)flow);
            // Nothing but the pages speaks against an entry that is right in all the rest, if the request confirms it: it is they that are damaged.
            if (!agrees && Table.TryRead(orphan.Entry, out _, out uint said)) agrees = said == flow;
            if (!agrees || !Table.TryMend(orphan.Entry, name, hash, flow))
            {
                // What the blocker has of it is older.
                status = XsegErrno.EIO;
                return null;
            }

            Forget(orphan);
            var of = Add(orphan.Entry, hash, flow);
            TakeIn(of, orphan);
            _context.Log.LogWarning("the object table's entry {Entry} is mended: a request of flow {Flow} named {Object}; {Dirty} dirty pages are its again",
                of.Entry, flow, System.Text.Encoding.UTF8.GetString(name), of.DirtyPages);
            return of;
        }

        return null;
    }

    private void Forget(Orphan orphan)
    {
        _orphans!.Remove(orphan);
        if (_orphans.Count == 0) _orphans = null;
    }

    /// <summary>As <see cref="Recovery"/> does it.</summary>
    private void TakeIn(CachedObject of, Orphan orphan)
    {
        var quarantined = new List<(int Bucket, uint Page)>();
        // They were answered before any FLUSH that runs now, and are not among what it brings down.
        of.Flow.Mended++;
        foreach (var (page, flow, isLost) in orphan.Pages)
        {
            var entry = *_segment.PageAt(page);
            // Damaged since: it is not ours to write, and stays lost.
            if ((uint)entry.Word != _cachedHere || entry.Object != of.Entry) continue;
            if (isLost) CountLost(FlowOf(flow), -1);
            bool named = entry.Flow == (ushort)of.Flow.Index && entry.Bucket < CachedObject.MaxBuckets;
            var masks = SectorMasks.From(entry.Masks);
            if (named && masks.Mark == SectorMasks.Quarantined) quarantined.Add((entry.Bucket, page));
            else if (named && EntryEvidence.IsWhole(entry)) Recovered(of, page, entry);
            else if (masks.Dirty != 0) Quarantine(page, entry.Flow);
            else _port.Limbo.Retire(page);
        }

        foreach (var (bucket, page) in quarantined) Quarantined(of, bucket, page);
    }

    /// <summary>
    /// A FLUSH of the blocker ended. All that orphans have written came before it: it is stable now, and not missed; or it may be lost there, and
    /// must be written again.
    /// </summary>
    private void OrphansFlushed(FlowState flow, bool succeeded)
    {
        foreach (var orphan in _orphans!.ToArray())
        {
            for (int i = orphan.Pages.Count - 1; i >= 0; i--)
            {
                var (page, of, isLost) = orphan.Pages[i];
                var entry = _segment.PageAt(page);
                if (isLost || FlowOf(of) != flow || (uint)entry->Word != _cachedHere || entry->Object != orphan.Entry) continue;
                if (succeeded)
                {
                    orphan.Pages.RemoveAt(i);
                    _port.Limbo.Retire(page);
                    continue;
                }

                var masks = SectorMasks.From(entry->Masks);
                Shared.Store(ref entry->Masks, (masks with { Dirty = masks.Written, Written = 0 }).Packed);
                orphan.Pages[i] = (page, of, true);
                CountLost(flow, 1);
            }

            if (orphan.Pages.Count > 0) continue;
            Forget(orphan);
            Table.RemoveOwn(orphan.Entry);
        }
    }

    private void CountLost(FlowState flow, int change)
    {
        flow.LostPages += change;
        LostPages += change;
    }
}
