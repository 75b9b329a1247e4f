using Archipelago.Runtime.Control;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Cli.Daemon;

/// <summary>The control plane of a process that hosts peers, beside that of the peers themselves.</summary>
internal sealed class DaemonEndpoints(PeerProcess process) : IControlEndpoints
{
    public void Map(IEndpointRouteBuilder routes)
    {
        var json = DaemonJson.Default;
        routes.GetJson("/v1/flows", json.FlowList, _ => ValueTask.FromResult(new FlowList(process.Flows())));
        routes.PostStream("/v1/stop", json.StopRequest, json.StopStep, (body, context) => process.StopSteps(body, context.RequestAborted));
    }
}
