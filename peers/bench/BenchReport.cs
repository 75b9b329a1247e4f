using System.Text.Json.Serialization;
using Archipelago.Runtime.Metrics;

namespace Archipelago.Bench;

/// <summary>Latency percentiles in nanoseconds.</summary>
/// <param name="Samples">Requests that were timed.</param>
/// <param name="Mean">Mean.</param>
/// <param name="P50">Median.</param>
/// <param name="P90">90th percentile.</param>
/// <param name="P99">99th percentile.</param>
/// <param name="P999">99.9th percentile.</param>
/// <param name="P9999">99.99th percentile.</param>
/// <param name="Max">Worst.</param>
public sealed record BenchLatency(long Samples, double Mean, long P50, long P90, long P99, long P999, long P9999, long Max)
{
    /// <summary>The percentiles of a histogram.</summary>
    public static BenchLatency Of(LatencySnapshot s) =>
        new(s.Count, s.Mean, s.Percentile(50), s.Percentile(90), s.Percentile(99), s.Percentile(99.9), s.Percentile(99.99), s.Max);
}

/// <summary>What a run of the bench found. Rates are those of the measured phase.</summary>
public sealed record BenchReport
{
    /// <summary>What was asked for.</summary>
    public required string Op { get; init; }
    /// <summary>Order of the blocks.</summary>
    public required string Pattern { get; init; }
    /// <summary>Route of the requests, or "none".</summary>
    public required string Route { get; init; }
    /// <summary>True if the target ran on the bench's own reactor.</summary>
    public required bool InProcess { get; init; }
    /// <summary>Bytes per request.</summary>
    public required long BlockSize { get; init; }
    /// <summary>Requests under way.</summary>
    public required int Depth { get; init; }
    /// <summary>Different blocks.</summary>
    public required long Blocks { get; init; }
    /// <summary>Passes over the blocks that were begun.</summary>
    public required long Requests { get; init; }
    /// <summary>Reads of all phases.</summary>
    public long Reads { get; init; }
    /// <summary>Writes of all phases.</summary>
    public long Writes { get; init; }
    /// <summary>Bytes moved.</summary>
    public required long Bytes { get; init; }
    /// <summary>Length of the measured phase.</summary>
    public required double Seconds { get; init; }
    /// <summary>Requests per second.</summary>
    public required double RequestsPerSecond { get; init; }
    /// <summary>Bytes per second.</summary>
    public required double BytesPerSecond { get; init; }
    /// <summary>Duration of the FLUSH after the last write, in seconds; null if there was none.</summary>
    public double? FlushSeconds { get; init; }
    /// <summary>Requests per second if the last FLUSH counts.</summary>
    public double? RequestsPerSecondFlushed { get; init; }
    /// <summary>Latencies.</summary>
    public required BenchLatency Latency { get; init; }
    /// <summary>CPU time of the bench's process.</summary>
    public required double CpuSeconds { get; init; }
    /// <summary>CPU seconds per million requests.</summary>
    public required double CpuSecondsPerMillion { get; init; }
    /// <summary>Managed bytes that the bench's thread allocated.</summary>
    public required long AllocatedBytes { get; init; }
    /// <summary>The same per request.</summary>
    public required double AllocatedBytesPerRequest { get; init; }
    /// <summary>What was checked.</summary>
    public required string Verify { get; init; }
    /// <summary>Blocks with wrong content.</summary>
    public long Mismatches { get; init; }
    /// <summary>Requests that failed, by errno symbol.</summary>
    public required IReadOnlyDictionary<string, long> Errors { get; init; }
    /// <summary>Times that a request waited for pages of the bench's own port.</summary>
    public long PageStalls { get; init; }
    /// <summary>What is wrong, for a person.</summary>
    public required IReadOnlyList<string> Messages { get; init; }
    /// <summary>False if a request failed, content was wrong or an assertion did not hold.</summary>
    public required bool Ok { get; init; }
}

/// <summary>Serializer of reports, made at compile time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(BenchReport))]
public sealed partial class BenchJson : JsonSerializerContext;
