using System.Text;
using System.Text.Json.Serialization;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Cached;

/// <summary>
/// What the cache holds and has done. Bytes are bytes, counts are since the start. Quarantined: dirty, but the page table's or the object
/// table's entry is damaged, so neither read nor destaged. Oldest dirty: what is on its way to the blocker counts until it is there. Oldest
/// destage: how long the destage pass that has been under way longest waits for the blocker; 0 if there is none.
/// </summary>
public sealed record CacheStatistics(
    long CapacityBytes, long CachedBytes, long DirtyBytes, long WrittenBytes, long LimboBytes, long FreeBytes, long Objects, long IndexBytes,
    long Hits, long Misses, long Writes, long Evictions, long DestageWrites, long DestagedBytes, long DestageErrors, int DestageInFlight,
    double OldestDirtySeconds, double OldestDestageSeconds, long QuarantinedBytes, long DamagedPages, long DamagedObjects, IReadOnlyList<CacheFlow> Flows, IReadOnlyList<CacheSpace> Namespaces);

/// <summary>
/// One namespace of <see cref="CacheStatistics"/>: volumes, images, or maps. Of images the hits and misses are of volumes that asked for them, which
/// count them too; those of volumes are the others. Most: what its share comes to; null for all of the cache.
/// </summary>
public sealed record CacheSpace(string Namespace, string Policy, string InForce, long CachedBytes, long? MostBytes, long Hits, long Misses);

/// <summary>One flow of <see cref="CacheStatistics"/>. Stuck: the blocker has not answered a destage for <see cref="CachedPeer.StuckAfter"/>.</summary>
public sealed record CacheFlow(
    string Volume, string Policy, string InForce, bool SafeUntilFlush, bool HasFlushed, bool Degraded, bool Stuck, long CachedBytes, long DirtyBytes, long Hits, long Misses, long Writes, long DestageErrors);

/// <summary>Body of <c>PUT /v1/cache/policy</c>.</summary>
/// <param name="Volume">Volume, or null with a namespace.</param>
/// <param name="Policy">writeback, writethrough, off or default; of a namespace not writeback.</param>
/// <param name="SafeUntilFlush">Write-back only after the guest's first flush.</param>
/// <param name="Namespace">images or maps: all of it, and not a volume.</param>
public sealed record CachePolicyChange(string? Volume, string Policy, bool SafeUntilFlush = true, string? Namespace = null);

/// <summary>Body of <c>POST /v1/cache/flush</c>: one volume, or all.</summary>
public sealed record CacheFlush(string? Volume = null);

/// <summary>Serializers of the cache's control plane, made at compile time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(CacheStatistics))]
[JsonSerializable(typeof(CachePolicyChange))]
[JsonSerializable(typeof(CacheFlush))]
public sealed partial class CacheJson : JsonSerializerContext;

/// <summary>
/// <c>GET /v1/cache</c>: statistics. <c>POST /v1/cache/flush</c>: destage and make stable. <c>PUT /v1/cache/policy</c>: change a
/// volume's policy; answered when it holds, with everything destaged that the new one does not allow to be dirty.
/// </summary>
public sealed partial class CachedPeer : IControlEndpoints
{
    /// <summary>Names of the namespaces that have a policy of their own.</summary>
    public const string Images = "images", Maps = "maps";

    /// <summary>From here on a destage pass is told as stuck; a store that is alive answers sooner.</summary>
    public static readonly TimeSpan StuckAfter = TimeSpan.FromSeconds(2);

    void IControlEndpoints.Map(IEndpointRouteBuilder routes)
    {
        routes.GetJson("/v1/cache", CacheJson.Default.CacheStatistics, async _ => await Context.Reactor.CallAsync(Collect).ConfigureAwait(false));
        routes.PostJson("/v1/cache/flush", CacheJson.Default.CacheFlush, CacheJson.Default.CacheStatistics, async (what, _) =>
            await Context.Reactor.CallAsync(() => FlushByName(what.Volume)).ConfigureAwait(false));
        routes.PutJson("/v1/cache/policy", CacheJson.Default.CachePolicyChange, CacheJson.Default.CacheStatistics, async (change, _) =>
            await Context.Reactor.CallAsync(() => ChangePolicy(change)).ConfigureAwait(false));
    }

    private async Task<CacheStatistics> FlushByName(string? volume)
    {
        int status = volume == null ? await _flushes.FlushAllAsync() : await _flushes.FlushAsync(_store.FlowOf(FlowNamed(volume)));
        if (status != 0) throw new ErrnoException(status, $"flush of {volume ?? "the cache"}: the blocker does not take it; the data stays dirty");
        return Collect();
    }

    internal async Task<CacheStatistics> ChangePolicy(CachePolicyChange change)
    {
        var policy = change.Policy switch
        {
            "default" => CachePolicy.Default,
            "writeback" => CachePolicy.WriteBack,
            "writethrough" => CachePolicy.WriteThrough,
            "off" => CachePolicy.Off,
            _ => throw new ErrnoException(Errno.EINVAL, $"policy '{change.Policy}': expected writeback, writethrough, off or default"),
        };
        // Who wants it unsafe says so each time: it must not stay behind from a policy of long ago.
        uint index = change.Namespace != null ? SetSpacePolicy(change, policy)
            : FlowTable.SetPolicy(Context.Segment, NameBytes(change.Volume), FlowSpace.Data, policy, change.SafeUntilFlush);
        if (index == 0) throw NoFlow(change.Volume!);
        // From here on nothing new becomes dirty that may not; what is, goes down before the change is called done.
        if (_objects.PolicyOf(index) != CachePolicy.WriteBack)
        {
            var flow = _store.FlowOf(index);
            int status = await _flushes.FlushAsync(flow);
            if (status != 0) throw new ErrnoException(status, $"{change.Namespace ?? change.Volume}: the policy is {change.Policy} now, but what was dirty before cannot be destaged; it stays dirty and is tried again");
            if (_objects.PolicyOf(index) == CachePolicy.Off) _objects.DropFlow(flow);
        }

        return Collect();
    }

    private uint SetSpacePolicy(CachePolicyChange change, CachePolicy policy)
    {
        if (!string.IsNullOrEmpty(change.Volume)) throw new ErrnoException(Errno.EINVAL, "\"volume\" and \"namespace\": expected one of both");
        byte space = change.Namespace switch
        {
            Images => FlowSpace.Shared,
            Maps => FlowSpace.Maps,
            _ => throw new ErrnoException(Errno.EINVAL, $"namespace '{change.Namespace}': expected {Images} or {Maps}"),
        };
        var name = space == FlowSpace.Shared ? FlowTable.SharedName : FlowTable.MapsName;
        if (policy == CachePolicy.WriteBack) throw new ErrnoException(Errno.EINVAL, $"{change.Namespace} cannot be writeback: they are never dirty. Expected writethrough, off or default");
        if (space == FlowSpace.Shared && _store.ShareFlow() == Store.NoFlow) throw new ErrnoException(Errno.ENOSPC, "the flow table is full: there is no entry for images");
        if (space == FlowSpace.Maps) FlowTable.FindOrAdd(Context.Segment, name, space);
        return FlowTable.SetPolicy(Context.Segment, name, space, policy, safe: true);
    }

    private uint FlowNamed(string? volume)
    {
        uint flow = FlowTable.Find(Context.Segment, NameBytes(volume));
        return flow != 0 ? flow : throw NoFlow(volume!);
    }

    private static byte[] NameBytes(string? volume) =>
        string.IsNullOrEmpty(volume) ? throw new ErrnoException(Errno.EINVAL, "\"volume\" is missing: expected the name of a volume") : Encoding.UTF8.GetBytes(volume);

    private static ErrnoException NoFlow(string volume) => new(
        Errno.ENOENT, $"volume '{volume}' has not been opened on this host, or so long ago that it was forgotten; open it first (`archipelago volume open {volume}`, or a client); `archipelago cache stats` shows which have been");

    internal CacheStatistics Collect()
    {
        long Bytes(long pages) => pages << 12;
        double Since(IEnumerable<long> times) => Math.Max(0, (Context.Reactor.Now - times.DefaultIfEmpty(Context.Reactor.Now).Min()) / 1e9);
        var passing = _destager.Passing;
        var dirty = _store.Flows.SelectMany(flow => flow.Dirty()).Select(of => of.Failures > 0 ? of.DirtyFrom : of.DirtySince);
        return new CacheStatistics(
            Bytes(Options.Pages), Figures.CachedBytes, Figures.DirtyBytes, Figures.WrittenBytes, Bytes(Context.Port.Limbo.Count),
            Bytes(Context.Port.Pages.Count), _store.Objects.Count, _store.Buckets.Bytes,
            Figures.Hits, Figures.Misses, Figures.Writes, Figures.Evictions,
            Figures.DestageWrites, Figures.DestagedBytes, Figures.DestageErrors, (int)Figures.DestageInFlight,
            Since(dirty.Concat(passing.Select(of => of.DirtyFrom))), Since(passing.Select(of => of.PassSince)), Figures.QuarantinedBytes, _store.DamagedPages, _store.DamagedObjects, [.. _store.Flows.Where(IsVolume).Select(Describe)],
            [.. _store.Shares.Select(Describe)]);
    }

    private unsafe bool IsVolume(FlowState flow) =>
        flow.Index != 0 && Context.Segment.FlowAt(flow.Index)->Namespace is not (FlowSpace.Shared or FlowSpace.Maps) && (flow.Pages > 0 || !FlowTable.NameOf(Context.Segment, flow.Index).IsEmpty);

    private unsafe CacheSpace Describe(PageShare share)
    {
        uint flow = share.Space switch
        {
            FlowSpace.Shared => FlowTable.Find(Context.Segment, FlowTable.SharedName, FlowSpace.Shared),
            FlowSpace.Maps => FlowTable.Find(Context.Segment, FlowTable.MapsName, FlowSpace.Maps),
            _ => 0,
        };
        var own = flow == 0 ? CachePolicy.Default : (CachePolicy)Context.Segment.FlowAt(flow)->Policy;
        var inForce = share.Space == FlowSpace.Data ? Options.DefaultPolicy : _objects.PolicyOfSpace(share.Space, own);
        long hits = share.HitsOfOthers, misses = share.MissesOfOthers;
        foreach (var of in _store.Flows.Where(of => of.Share == share)) (hits, misses) = (hits + of.Hits, misses + of.Misses);
        if (share.Space == FlowSpace.Data)
            foreach (var other in _store.Shares) (hits, misses) = (hits - other.HitsOfOthers, misses - other.MissesOfOthers);
        return new CacheSpace(
            share.Space switch { FlowSpace.Shared => Images, FlowSpace.Maps => Maps, _ => "volumes" }, NameOf(own), NameOf(inForce), share.Pages << 12,
            share.IsLimited ? share.Most << 12 : null, Math.Max(0, hits), Math.Max(0, misses));
    }

    private unsafe CacheFlow Describe(FlowState flow)
    {
        var entry = Context.Segment.FlowAt(flow.Index);
        long stuck = Context.Reactor.Now - (StuckAfter.Ticks * 100);
        return new CacheFlow(
            Encoding.UTF8.GetString(FlowTable.NameOf(Context.Segment, flow.Index)), NameOf((CachePolicy)entry->Policy), NameOf(_objects.PolicyOf(flow.Index)),
            entry->SafeUntilFlush != 0, entry->HasFlushed != 0, entry->Degraded != 0, _destager.Passing.Any(of => of.Flow == flow && of.PassSince <= stuck), flow.Pages << 12, flow.DirtyPages << 12, flow.Hits - flow.Before.Hits, flow.Misses - flow.Before.Misses, flow.Writes - flow.Before.Writes, flow.DestageErrors - flow.Before.DestageErrors);
    }

    private static string NameOf(CachePolicy policy) => policy switch
    {
        CachePolicy.WriteBack => "writeback",
        CachePolicy.WriteThrough => "writethrough",
        CachePolicy.Off => "off",
        _ => "default",
    };
}
