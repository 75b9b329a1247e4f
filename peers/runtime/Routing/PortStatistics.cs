using Archipelago.Runtime.Metrics;
using Archipelago.Xseg.Ports;

namespace Archipelago.Runtime.Routing;

/// <summary>What a port served, by op. Written by one reactor with plain increments, read by any thread.</summary>
public sealed class PortStatistics
{
    /// <summary>Ops that are counted apart.</summary>
    public const int Ops = 22;

    /// <summary>Requests answered, by op.</summary>
    public long[] Requests { get; } = new long[Ops];
    /// <summary>Requests answered with an error, by op.</summary>
    public long[] Errors { get; } = new long[Ops];
    /// <summary>Bytes asked for by requests that were answered, by op.</summary>
    public long[] Bytes { get; } = new long[Ops];
    /// <summary>Latency of a sample of the requests that came over links: one of 64.</summary>
    public LatencyHistogram Latency { get; } = new();
    /// <summary>Requests accepted and not yet answered.</summary>
    public long InFlight;

    /// <summary>Counts an answered request. The reactor only.</summary>
    internal void Count(in Request request, int status)
    {
        int op = Math.Min((int)request.Op, Ops - 1);
        Requests[op]++;
        Bytes[op] += (long)request.Length;
        if (status != 0) Errors[op]++;
    }
}
