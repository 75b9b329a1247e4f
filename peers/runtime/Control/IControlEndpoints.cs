using Microsoft.AspNetCore.Routing;

namespace Archipelago.Runtime.Control;

/// <summary>
/// What a peer adds to the control plane. Handlers run on threads of the control plane, never on a reactor's: what they need of a
/// reactor they ask for by message, or read from what the reactor publishes.
/// </summary>
public interface IControlEndpoints
{
    /// <summary>
    /// Maps the peer's endpoints, under <c>/v1/</c>, with the methods of <see cref="ControlRoutes"/>. Called once, before the socket
    /// listens.
    /// </summary>
    void Map(IEndpointRouteBuilder routes);
}
