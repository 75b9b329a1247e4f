using System.Text.Json;
using System.Text.Json.Serialization;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Memd;

/// <summary>The behaviour as the control plane shows and takes it.</summary>
/// <param name="LatencyMicroseconds">See <see cref="MemdOptions.Latency"/>.</param>
/// <param name="JitterMicroseconds">See <see cref="MemdOptions.Jitter"/>.</param>
/// <param name="Bandwidth">See <see cref="MemdOptions.Bandwidth"/>.</param>
/// <param name="Concurrency">See <see cref="MemdOptions.Concurrency"/>.</param>
/// <param name="Capacity">See <see cref="MemdOptions.Capacity"/>.</param>
/// <param name="Stable">See <see cref="MemdOptions.Stable"/>.</param>
/// <param name="Hang">See <see cref="MemdOptions.Hang"/>.</param>
/// <param name="Errors">See <see cref="MemdOptions.Rules"/>, as texts; a PUT may also say them as one text with commas, as the option does.</param>
public sealed record MemdSettings(
    double LatencyMicroseconds = 0, double JitterMicroseconds = 0, long Bandwidth = 0, int Concurrency = 0, long Capacity = 0,
    bool Stable = true, bool Hang = false, [property: JsonConverter(typeof(ErrorListConverter))] IReadOnlyList<string>? Errors = null)
{
    internal static MemdSettings Of(MemdOptions options) => new(
        options.Latency.TotalMicroseconds, options.Jitter.TotalMicroseconds, options.Bandwidth, options.Concurrency, options.Capacity,
        options.Stable, options.Hang, [.. options.Rules.Select(rule => rule.ToString())]);

    internal MemdOptions Over(MemdOptions old)
    {
        const double Hour = 3.6e9;
        if (LatencyMicroseconds is not (>= 0 and <= Hour) || JitterMicroseconds is not (>= 0 and <= Hour))
            throw new ErrnoException(Errno.EINVAL, "latency and jitter: expected 0 to 3600000000 microseconds");
        if (Bandwidth is < 0 or > 1L << 50 || Capacity is < 0 or > 1L << 50 || Concurrency is < 0 or > 1 << 20)
            throw new ErrnoException(Errno.EINVAL, "bandwidth and capacity: expected 0 to 2^50 bytes; concurrency: 0 to 2^20");
        return old with
        {
            Latency = TimeSpan.FromMicroseconds(LatencyMicroseconds),
            Jitter = TimeSpan.FromMicroseconds(JitterMicroseconds),
            Bandwidth = Bandwidth,
            Concurrency = Concurrency,
            Capacity = Capacity,
            Stable = Stable,
            Hang = Hang,
            Rules = [.. (Errors ?? []).Select(MemdRule.Parse)],
        };
    }
}

/// <summary>A list of texts, or one text with commas between them.</summary>
public sealed class ErrorListConverter : JsonConverter<IReadOnlyList<string>?>
{
    /// <inheritdoc/>
    public override IReadOnlyList<string>? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.String) return reader.GetString()!.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        var list = new List<string>();
        if (reader.TokenType != JsonTokenType.StartArray) throw new JsonException("errors: expected a list of rules such as [\"write:EIO:x3\"], or one text");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            list.Add(reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw new JsonException("errors: expected texts such as \"write:EIO:x3\" in the list"));
        return list;
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, IReadOnlyList<string>? value, JsonSerializerOptions options)
    {
        writer.WriteStartArray();
        foreach (string rule in value ?? []) writer.WriteStringValue(rule);
        writer.WriteEndArray();
    }
}

/// <summary>Serializers of memd's control plane, made at compile time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(MemdSettings))]
public sealed partial class MemdJson : JsonSerializerContext;

/// <summary>
/// <c>GET</c> and <c>PUT /v1/peers/NAME/memd</c>: what is in force (a member left out of a PUT is set to its default);
/// <c>POST /v1/peers/NAME/memd/crash</c>: a power failure.
/// </summary>
public sealed partial class MemdPeer : IControlEndpoints
{
    void IControlEndpoints.Map(IEndpointRouteBuilder routes)
    {
        string path = $"/v1/peers/{_name}/memd";
        routes.GetJson(path, MemdJson.Default.MemdSettings, _ => new ValueTask<MemdSettings>(MemdSettings.Of(Options)));
        routes.PutJson(path, MemdJson.Default.MemdSettings, MemdJson.Default.MemdSettings, async (settings, _) =>
        {
            await ChangeAsync(settings.Over(Options)).ConfigureAwait(false);
            return MemdSettings.Of(Options);
        });
        routes.PostJson(path + "/crash", ControlJson.Default.Nothing, ControlJson.Default.Nothing, async (_, _) =>
        {
            if (!Options.Volatile) throw new ErrnoException(Errno.EINVAL, $"{_name}: not volatile, nothing can be lost; set volatile = true");
            await CrashAsync().ConfigureAwait(false);
            return Nothing.Value;
        });
    }
}
