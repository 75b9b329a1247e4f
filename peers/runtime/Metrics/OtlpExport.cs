using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace Archipelago.Runtime.Metrics;

/// <summary>Sends all metrics to an OpenTelemetry collector, from a thread of the OpenTelemetry library.</summary>
public static class OtlpExport
{
    private const string HttpPath = "v1/metrics";

    /// <summary>
    /// Starts to send; null if no endpoint is configured. Dispose sends what is left and stops. An endpoint that does not answer costs
    /// the metrics of that interval, nothing else.
    /// </summary>
    /// <param name="options">Endpoint, protocol, interval.</param>
    /// <param name="instance">This process's <c>service.instance.id</c>, for example the host and the peers that it runs.</param>
    /// <param name="version">The <c>service.version</c>.</param>
    public static MeterProvider? Start(MetricsOptions options, string instance, string version)
    {
        if (options.Endpoint is not { } endpoint)
        {
            return null;
        }

        return Sdk.CreateMeterProviderBuilder()
            .ConfigureResource(r => r.AddService("archipelago", serviceVersion: version, serviceInstanceId: instance))
            .AddMeter(MetricsRegistry.MeterName, MetricsRegistry.LatencyMeterName)
            .AddOtlpExporter((exporter, reader) =>
            {
                bool http = options.Protocol == OtlpProtocol.Http;
                exporter.Protocol = http ? OtlpExportProtocol.HttpProtobuf : OtlpExportProtocol.Grpc;
                exporter.Endpoint = http ? WithPath(endpoint) : endpoint;
                reader.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds = (int)options.Interval.TotalMilliseconds;
            })
            .Build();
    }

    private static Uri WithPath(Uri endpoint)
    {
        string text = endpoint.AbsoluteUri;
        return text.EndsWith(HttpPath, StringComparison.Ordinal) ? endpoint : new Uri(text.TrimEnd('/') + "/" + HttpPath);
    }
}
