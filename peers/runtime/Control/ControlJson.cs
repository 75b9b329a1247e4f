using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Archipelago.Runtime.Control;

/// <summary>The body of every answer that is not a success.</summary>
/// <param name="Errno">The errno, positive.</param>
/// <param name="Error">Its symbol, <c>ENOENT</c>.</param>
/// <param name="Message">What failed and what to do.</param>
public sealed record ControlError(int Errno, string Error, string Message)
{
    /// <summary>The body for an exception.</summary>
    public static ControlError Of(ErrnoException e) => new(e.Errno, e.Symbol, e.Message);
}

/// <summary>The answer of <c>GET /v1/status</c>.</summary>
/// <param name="Name">The process's name: the peers that it runs, as a rule.</param>
/// <param name="Version">The build's version.</param>
/// <param name="Pid">Its process id.</param>
/// <param name="StartedAt">When it started, in UTC.</param>
/// <param name="UptimeSeconds">For how long it has run.</param>
/// <param name="State"><c>starting</c>, <c>running</c> or <c>stopping</c>.</param>
/// <param name="Sections">What each peer says about itself, by name.</param>
public sealed record StatusReport(
    string Name, string Version, int Pid, DateTimeOffset StartedAt, double UptimeSeconds, string State, JsonObject Sections);

/// <summary>The answer of <c>GET /v1/health</c>: 200 if it is <c>ok</c>, else 503.</summary>
/// <param name="Status"><c>ok</c> or <c>failing</c>.</param>
/// <param name="Failing">The checks that fail, with their reasons.</param>
public sealed record HealthReport(string Status, IReadOnlyDictionary<string, string> Failing)
{
    /// <summary>Whether every check passes.</summary>
    [JsonIgnore]
    public bool IsOk => Failing.Count == 0;
}

/// <summary>An empty JSON object, for requests and answers that say nothing.</summary>
public sealed record Nothing
{
    /// <summary>The one value.</summary>
    public static Nothing Value { get; } = new();
}

/// <summary>Serializers of the control plane's own types, made at compile time. Peers bring contexts of their own.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip)]
[JsonSerializable(typeof(ControlError))]
[JsonSerializable(typeof(StatusReport))]
[JsonSerializable(typeof(HealthReport))]
[JsonSerializable(typeof(Nothing))]
public sealed partial class ControlJson : JsonSerializerContext;
