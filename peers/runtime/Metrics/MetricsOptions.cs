using Archipelago.Runtime.Configuration;

namespace Archipelago.Runtime.Metrics;

/// <summary>How OTLP speaks.</summary>
public enum OtlpProtocol
{
    /// <summary>gRPC, port 4317 by custom.</summary>
    Grpc,

    /// <summary>Protobuf over HTTP, port 4318 by custom.</summary>
    Http,
}

/// <summary>Where metrics are sent; the values of the section <c>[metrics]</c>.</summary>
public sealed record MetricsOptions
{
    private const string EndpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT";

    /// <summary>The option <c>otlp-endpoint</c>.</summary>
    public static readonly OptionSpec<string> EndpointOption = Option.Text(
        "otlp-endpoint", "",
        "URL of an OpenTelemetry collector to which metrics are sent, for example http://127.0.0.1:4317. If it is empty, the standard "
        + "variable OTEL_EXPORTER_OTLP_ENDPOINT counts; if that is not set either, nothing is sent. The control socket answers GET /metrics in any case.");

    /// <summary>The option <c>otlp-protocol</c>.</summary>
    public static readonly OptionSpec<OtlpProtocol> ProtocolOption = Option.Choice(
        "otlp-protocol", "grpc", "The protocol of otlp-endpoint: gRPC, or protobuf over HTTP, for which /v1/metrics is appended to the URL.",
        ("grpc", OtlpProtocol.Grpc), ("http", OtlpProtocol.Http));

    /// <summary>The option <c>otlp-interval</c>.</summary>
    public static readonly OptionSpec<TimeSpan> IntervalOption = Option.Duration(
        "otlp-interval", "10s", TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1), "How often metrics are sent to otlp-endpoint.");

    /// <summary>The table of <c>[metrics]</c>.</summary>
    public static readonly SectionSpec Section = SectionSpec.Single(
        "metrics",
        "Metrics are counted always and read as Prometheus text from the control socket (GET /metrics). They can also be sent to a collector.",
        [EndpointOption, ProtocolOption, IntervalOption]);

    /// <summary>The collector, or null to send nothing.</summary>
    public Uri? Endpoint { get; init; }

    /// <summary>The protocol.</summary>
    public OtlpProtocol Protocol { get; init; }

    /// <summary>How often to send.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The options of a configuration and of the standard variables.</summary>
    /// <exception cref="ConfigException">EINVAL: the endpoint is not an http or https URL.</exception>
    public static MetricsOptions From(Config config) => From(config, Environment.GetEnvironmentVariable(EndpointVariable));

    internal static MetricsOptions From(Config config, string? standardVariable)
    {
        const string Expected = "an http:// or https:// URL, such as http://127.0.0.1:4317";
        ConfigSection section = config[Section];
        string text = section.Get(EndpointOption);
        bool own = text.Length > 0;
        Uri? endpoint = null;
        if (own || !string.IsNullOrEmpty(standardVariable))
        {
            text = own ? text : standardVariable!;
            bool good = Uri.TryCreate(text, UriKind.Absolute, out endpoint) && endpoint.Scheme is "http" or "https" && endpoint.Host.Length > 0;
            if (!good)
            {
                throw own
                    ? section.Refuse(EndpointOption, Expected)
                    : new ConfigException([new ConfigError(new ConfigOrigin($"environment {EndpointVariable}"), null, null, Expected, ConfigError.Quote(text))]);
            }
        }

        return new MetricsOptions { Endpoint = endpoint, Protocol = section.Get(ProtocolOption), Interval = section.Get(IntervalOption) };
    }
}
