using System.Text.Json.Nodes;
using Archipelago.Runtime.Control;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Cli.Daemon;

/// <summary>The control plane of a process that hosts peers: volumes, cache, stop.</summary>
internal sealed class DaemonEndpoints(PeerProcess process) : IControlEndpoints
{
    public void Map(IEndpointRouteBuilder routes)
    {
        var json = DaemonJson.Default;
        routes.GetJson("/v1/volumes", json.VolumeList, async _ => await process.VolumesAsync());
        routes.PostJson("/v1/volumes", json.VolumeCreate, json.VolumeInfo, async (body, _) => await process.CreateVolumeAsync(body));
        routes.GetJson("/v1/volumes/{name}", json.VolumeInfo, async context => await process.VolumeAsync(context.RouteValue("name")));
        routes.PutJson("/v1/volumes/{name}", json.VolumeResize, json.VolumeInfo, async (body, context) => await process.ResizeVolumeAsync(context.RouteValue("name"), body.Size));
        routes.DeleteJson("/v1/volumes/{name}", ControlJson.Default.Nothing, async context =>
        {
            await process.DeleteVolumeAsync(context.RouteValue("name"));
            return Nothing.Value;
        });
        routes.GetJson("/v1/cache", json.CacheReport, _ => ValueTask.FromResult(new CacheReport(process.Flows(), process.CacheSections())));
        routes.PutJson("/v1/cache/flows/{name}", json.FlowChange, json.FlowInfo, (body, context) => ValueTask.FromResult(process.ChangeFlow(context.RouteValue("name"), body)));
        routes.PostJson("/v1/cache/flush", json.FlushRequest, json.FlushReport, async (body, _) => await process.FlushAsync(body.Volume));
        routes.PostStream("/v1/stop", json.StopRequest, json.StopStep, (body, context) => process.StopSteps(body, context.RequestAborted));
    }
}

internal sealed partial class PeerProcess
{
    /// <summary>What the caches of this process say about themselves.</summary>
    internal JsonObject CacheSections()
    {
        var sections = new JsonObject();
        var report = _status.Report().Sections;
        foreach (var (kind, made) in _made)
            if (made.KeepsCachePages && report[kind.Name] is { } section) sections[kind.Name] = section.DeepClone();
        return sections;
    }
}
