using Archipelago.Nbd.Control;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Scheduling;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Nbd;

/// <summary><c>GET /v1/nbd/connections</c>: who is connected, to what, with how much under way. On the reactor, by message.</summary>
public sealed partial class NbdPeer : IControlEndpoints
{
    void IControlEndpoints.Map(IEndpointRouteBuilder routes) =>
        routes.GetJson("/v1/nbd/connections", NbdJson.Default.NbdConnections, _ => new ValueTask<NbdConnections>(ListAsync()));

    private Task<NbdConnections> ListAsync() => _server is { } server
        ? server.Reactor.CallAsync(() => new NbdConnections(server.List()))
        : throw new ErrnoException(Errno.EAGAIN, "nbd is still starting; try again");
}
