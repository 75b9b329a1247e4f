using System.Diagnostics;
using System.Globalization;
using Archipelago.Bench;
using Archipelago.Experiments.Measure;
using Archipelago.Runtime.Logging;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Experiments.Processes;

/// <summary>A segment, a process of ours that serves it, and benches of this process that use it.</summary>
internal sealed class Chain : IDisposable
{
    private static int s_count;

    private readonly string _directory = $"{Settings.Segments}/archipelago-experiment-{Environment.ProcessId}-{Interlocked.Increment(ref s_count)}";
    private readonly LoggingSetup _logs = LoggingSetup.Create(new LogOptions { Level = LogLevel.Warning });
    private readonly Segment _segment;
    private readonly List<Daemon> _servers = [];
    private readonly Daemon _server;

    /// <summary>Starts the peers, from the blocker up, in a process pinned to <paramref name="core"/> (−1: to none).</summary>
    internal Chain(string peers, int core, TimeSpan spin, long pages, params IEnumerable<string> settings)
        : this(new SegmentOptions { Pages = pages }, peers, core, spin, settings)
    {
    }

    /// <summary>The same in a segment with other sizes.</summary>
    internal Chain(SegmentOptions options, string peers, int core, TimeSpan spin, params IEnumerable<string> settings)
    {
        _segment = Segment.Create(_directory, options);
        try
        {
            _server = Join(peers, core, spin, settings);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The serving process, the first if there are several.</summary>
    internal Daemon Server => _server;

    /// <summary>Starts another process with peers in the same segment.</summary>
    internal Daemon Join(string peers, int core, TimeSpan spin, params IEnumerable<string> settings)
    {
        var server = new Daemon(Environment.ProcessPath!,
            ["role", "serve", _directory, $"{core}", ((long)spin.TotalMicroseconds).ToString(CultureInfo.InvariantCulture), peers, .. settings]);
        _servers.Add(server);
        string line = server.ReadLine();
        return line == "ready" ? server : throw new ExperimentException($"{peers}: expected 'ready', found '{line}'");
    }

    /// <summary>Sets write-back for a flow by name, in force from the first write on.</summary>
    internal void SetWriteBack(string flow) => SetWriteBack(_segment, flow);

    /// <summary>The same in any segment.</summary>
    internal static unsafe void SetWriteBack(Segment segment, string flow)
    {
        var entry = segment.FlowAt(FlowTable.FindOrAdd(segment, System.Text.Encoding.UTF8.GetBytes(flow)));
        Shared.Store(ref entry->Policy, (byte)CachePolicy.WriteBack);
        Shared.Store(ref entry->SafeUntilFlush, (byte)0);
    }

    /// <summary>Makes a volume.</summary>
    internal void MakeVolume(string name, long bytes) => _server.Order($"call create {name} - {bytes}");

    /// <summary>CPU seconds and managed bytes of the serving process so far.</summary>
    internal (double Cpu, long Allocated) Stats()
    {
        string[] fields = _server.Ask("stats").Split(' ');
        return (double.Parse(fields[0], CultureInfo.InvariantCulture), long.Parse(fields[1], CultureInfo.InvariantCulture));
    }

    /// <summary>Runs a bench in this process and gives its report.</summary>
    /// <exception cref="ExperimentException">A request failed, content was wrong, or the bench allocated.</exception>
    internal BenchReport Bench(BenchOptions options, Action<BenchProgress>? progress = null)
    {
        var report = new BenchRunner(options, _segment, _logs.Factory).Run(progress);
        return report.Ok ? report : throw new ExperimentException($"bench {report.Op} over {report.Route}: {string.Join("; ", report.Messages)}");
    }

    /// <summary>Runs a bench and gives its figures with those of the serving process.</summary>
    internal Figures Measure(BenchOptions options, Action<BenchProgress>? progress = null)
    {
        var (cpu, allocated) = Stats();
        long start = Stopwatch.GetTimestamp();
        var report = Bench(options, progress);
        var (cpuAfter, allocatedAfter) = Stats();
        double load = (cpuAfter - cpu) / Stopwatch.GetElapsedTime(start).TotalSeconds;
        var figures = Of(report);
        figures["cpuServer"] = load * report.Seconds * 1e6 / report.Requests;
        figures["bytesServer"] = (double)(allocatedAfter - allocated) / report.Requests;
        return figures;
    }

    /// <summary>
    /// The figures of a bench: rate (requests/s), rateFlushed (the last FLUSH counts), p50 and p99 (ns), cpuBench and cpuServer
    /// (seconds per million requests), bytesBench and bytesServer (managed bytes per request).
    /// </summary>
    internal static Figures Of(BenchReport report)
    {
        var figures = new Figures
        {
            ["rate"] = report.RequestsPerSecond,
            ["bytesPerSecond"] = report.BytesPerSecond,
            ["p50"] = report.Latency.P50,
            ["p99"] = report.Latency.P99,
            ["cpuBench"] = report.CpuSecondsPerMillion,
            ["bytesBench"] = report.AllocatedBytesPerRequest,
        };
        if (report.RequestsPerSecondFlushed is { } flushed) figures["rateFlushed"] = flushed;
        return figures;
    }

    /// <summary>Brings the peers to rest, those that were started last first.</summary>
    internal void Stop()
    {
        foreach (var server in Enumerable.Reverse(_servers))
        {
            if (server.HasEnded) continue;
            string line = server.Ask("stop");
            if (line != "stopped") throw new ExperimentException($"expected 'stopped', found '{line}'");
            server.WaitForEnd(TimeSpan.FromSeconds(10));
        }
    }

    public void Dispose()
    {
        foreach (var server in _servers) server.Dispose();
        _segment.Dispose();
        _logs.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
