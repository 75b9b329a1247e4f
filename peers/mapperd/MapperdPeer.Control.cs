using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Volumes;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Mapperd;

/// <summary>
/// <c>GET /v1/volumes</c> (<c>?snapshots=true</c>: with them), <c>/v1/volumes/NAME</c>, <c>/v1/mapperd</c>; <c>POST</c> and <c>DELETE /v1/volumes/NAME/lock</c>
/// (<c>?force=true</c>: another host's); streams: <c>POST /v1/volumes/NAME/map</c>, <c>…/diff</c>, <c>…/usage</c>, <c>…/hash</c>, <c>…/assemble</c> (create from objects), <c>POST /v1/gc</c> (<c>?dry-run=true</c>),
/// <c>POST /v1/fsck</c>. All of it runs on the reactor, by message.
/// </summary>
public sealed partial class MapperdPeer : IControlEndpoints
{
    /// <summary>Most bytes of the body that lists objects of a new volume.</summary>
    public const int MaxListBytes = 64 << 20;

    void IControlEndpoints.Map(IEndpointRouteBuilder routes)
    {
        var json = MapperdJson.Default;
        routes.GetJson("/v1/volumes", json.VolumeList, context => OnReactor(() => ListAsync(context.Request.Query["snapshots"] == "true")));
        routes.GetJson("/v1/volumes/{name}", json.VolumeInfo, context => OnReactor(() => DescribeAsync(NameOf(context))));
        routes.GetJson("/v1/mapperd", json.MapperdStatus, _ => OnReactor(() => Task.FromResult(StatusNow())));
        routes.PostJson("/v1/volumes/{name}/lock", ControlJson.Default.Nothing, json.LockInfo, (_, context) => OnReactor(() => LockAsync(Whole(NameOf(context)))));
        routes.DeleteJson("/v1/volumes/{name}/lock", json.LockInfo, context => OnReactor(() => UnlockAsync(Whole(NameOf(context)), context.Request.Query["force"] == "true")));
        routes.PostStream("/v1/volumes/{name}/map", ControlJson.Default.Nothing, json.MapItem, (_, context) => Stream<MapItem>(
            (tell, cancel) => _volumes.DumpAsync(NameOf(context), tell, cancel)));
        routes.PostStream("/v1/volumes/{name}/diff", json.DiffRequest, json.DiffItem, (body, context) => Stream<DiffItem>(
            (tell, cancel) => _volumes.DiffAsync(VolumeName.Parse(body.From ?? ""), NameOf(context), tell, cancel)));
        routes.PostStream("/v1/volumes/{name}/usage", ControlJson.Default.Nothing, json.UsageItem, (_, context) => Stream<UsageItem>(
            (tell, cancel) => _volumes.CountAsync(Whole(NameOf(context)), tell, cancel)));
        routes.PostStream("/v1/volumes/{name}/hash", ControlJson.Default.Nothing, json.HashItem, (_, context) => Stream<HashItem>(
            (tell, cancel) => _volumes.HashAsync(NameOf(context), tell, cancel)));
        routes.PostStream("/v1/gc", ControlJson.Default.Nothing, json.CollectItem, (_, context) => Stream<CollectItem>(
            (tell, _) => _volumes.CollectAsync(context.Request.Query["dry-run"] == "true", tell)));
        routes.PostStream("/v1/volumes/{name}/assemble", json.AssembleRequest, json.AssembleItem, (body, context) => Stream<AssembleItem>(
            (tell, cancel) => _volumes.AssembleAsync(Whole(NameOf(context)), body, tell, cancel)), MaxListBytes);
        routes.PostStream("/v1/fsck", json.CheckRequest, json.CheckItem, (body, _) => Stream<CheckItem>(
            (tell, cancel) => _volumes.CheckAsync(body, tell, cancel)));
    }

    private static VolumeName NameOf(HttpContext context) => VolumeName.Parse(context.RouteValue("name"));

    private async Task<LockInfo> LockAsync(string name)
    {
        await _volumes.KeepAsync(name);
        return await LockNowAsync(name);
    }

    private async Task<LockInfo> UnlockAsync(string name, bool force)
    {
        if (force) await _volumes.BreakLockAsync(name);
        else await _volumes.UnkeepAsync(name);
        return await LockNowAsync(name);
    }

    private async Task<LockInfo> LockNowAsync(string name) => await _volumes.LockOfAsync(name, (await _volumes.LookAsync(name)).Root!.Id);

    private MapperdStatus StatusNow() => new(
        [.. _volumes.Table.All.Where(volume => volume.IsOpen).Select(volume => volume.Name).Order(StringComparer.Ordinal)], _volumes.Purges, _volumes.Store.Chunks.Count, _volumes.Catalogue.Damaged);

    /// <summary>From a thread of the control plane to the reactor and back.</summary>
    private ValueTask<T> OnReactor<T>(Func<Task<T>> work) => new(Started().Reactor.CallAsync(work));

    private IAsyncEnumerable<T> Stream<T>(Func<Func<T, ValueTask>, CancellationToken, Task> work) => ReactorStream.RunAsync(Started().Reactor, work);

    private PeerContext Started() =>
        Context is { } context && _volumes is not null ? context : throw new ErrnoException(Errno.EAGAIN, "mapperd is still starting; try again");
}
