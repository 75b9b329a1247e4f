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
        routes.GetJson("/v1/flows", json.FlowList, _ => ValueTask.FromResult(new FlowList(process.Flows())));
        routes.PostStream("/v1/stop", json.StopRequest, json.StopStep, (body, context) => process.StopSteps(body, context.RequestAborted));
    }
}
