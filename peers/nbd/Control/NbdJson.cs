using System.Text.Json.Serialization;

namespace Archipelago.Nbd.Control;

/// <summary>A client as the control plane shows it.</summary>
/// <param name="Client">Address and port, or the process on a Unix socket: <c>pid 123</c>.</param>
/// <param name="Export">The volume, once it is chosen.</param>
/// <param name="State"><c>handshake</c>, <c>transmission</c>, or <c>ending</c> (no further requests, some are under way).</param>
/// <param name="InFlight">Requests whose reply is not yet sent.</param>
public sealed record NbdConnection(string Client, string? Export, string State, int InFlight);

/// <summary>The answer of <c>GET /v1/nbd/connections</c>.</summary>
/// <param name="Connections">In the order in which they came.</param>
public sealed record NbdConnections(IReadOnlyList<NbdConnection> Connections);

/// <summary>Serializers of the gateway's control plane, made at compile time.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(NbdConnections))]
public sealed partial class NbdJson : JsonSerializerContext;
