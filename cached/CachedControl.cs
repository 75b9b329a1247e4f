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
    double OldestDirtySeconds, double OldestDestageSeconds, long QuarantinedBytes, long DamagedPages, long DamagedObjects, IReadOnlyList<CacheFlow> Flows);

/// <summary>One flow of <see cref="CacheStatistics"/>. Stuck: the blocker has not answered a destage for <see cref="CachedPeer.StuckAfter"/>.</summary>
public sealed record CacheFlow(
    string Volume, string Policy, string InForce, bool SafeUntilFlush, bool HasFlushed, bool Degraded, bool Stuck, long CachedBytes, long DirtyBytes, long Hits, long Misses, long Writes, long DestageErrors);

/// <summary>Body of <c>PUT /v1/cache/policy</c>.</summary>
/// <param name="Volume">Volume.</param>
/// <param name="Policy">writeback, writethrough, off or default.</param>
/// <param name="SafeUntilFlush">Write-back only after the guest's first flush.</param>
public sealed record CachePolicyChange(string Volume, string Policy, bool SafeUntilFlush = true);

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
        uint index = FlowNamed(change.Volume);
        SetPolicy(index, policy, change.SafeUntilFlush);
        // From here on nothing new becomes dirty that may not; what is, goes down before the change is called done.
        if (_objects.PolicyOf(index) != CachePolicy.WriteBack)
        {
            var flow = _store.FlowOf(index);
            int status = await _flushes.FlushAsync(flow);
            if (status != 0) throw new ErrnoException(status, $"{change.Volume}: the policy is {change.Policy} now, but what was dirty before cannot be destaged; it stays dirty and is tried again");
            if (policy == CachePolicy.Off) _objects.DropFlow(flow);
        }

        return Collect();
    }

    private unsafe void SetPolicy(uint flow, CachePolicy policy, bool safe)
    {
        var entry = Context.Segment.FlowAt(flow);
        Shared.Store(ref entry->Policy, (byte)policy);
        // Who wants it unsafe says so each time: it must not stay behind from a policy of long ago.
        Shared.Store(ref entry->SafeUntilFlush, safe ? (byte)1 : (byte)0);
    }

    private uint FlowNamed(string? volume)
    {
        if (string.IsNullOrEmpty(volume)) throw new ErrnoException(Errno.EINVAL, "\"volume\" is missing: expected the name of a volume");
        uint flow = FlowTable.Find(Context.Segment, Encoding.UTF8.GetBytes(volume));
        return flow != 0 ? flow : throw new ErrnoException(Errno.ENOENT, $"volume '{volume}' has not been opened on this host since its segment was made; open it first (`archipelago volume open {volume}`, or a client); `archipelago cache stats` shows which have been");
    }

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
            Since(dirty.Concat(passing.Select(of => of.DirtyFrom))), Since(passing.Select(of => of.PassSince)), Figures.QuarantinedBytes, _store.DamagedPages, _store.DamagedObjects, [.. _store.Flows.Where(flow => flow.Index != 0).Select(Describe)]);
    }

    private unsafe CacheFlow Describe(FlowState flow)
    {
        var entry = Context.Segment.FlowAt(flow.Index);
        long stuck = Context.Reactor.Now - (StuckAfter.Ticks * 100);
        return new CacheFlow(
            Encoding.UTF8.GetString(FlowTable.NameOf(Context.Segment, flow.Index)), NameOf((CachePolicy)entry->Policy), NameOf(_objects.PolicyOf(flow.Index)),
            entry->SafeUntilFlush != 0, entry->HasFlushed != 0, entry->Degraded != 0, _destager.Passing.Any(of => of.Flow == flow && of.PassSince <= stuck), flow.Pages << 12, flow.DirtyPages << 12, flow.Hits, flow.Misses, flow.Writes, flow.DestageErrors);
    }

    private static string NameOf(CachePolicy policy) => policy switch
    {
        CachePolicy.WriteBack => "writeback",
        CachePolicy.WriteThrough => "writethrough",
        CachePolicy.Off => "off",
        _ => "default",
    };
}
