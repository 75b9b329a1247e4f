using Archipelago.Bench;
using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;
using Archipelago.Experiments.Roles;
using Archipelago.Runtime.Logging;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging;

namespace Archipelago.Experiments.Experiments;

/// <summary>A request's round trip, PING from the bench to a peer and back: between processes that spin, and as a call.</summary>
internal static class Hop
{
    private static readonly TimeSpan Spin = TimeSpan.FromMilliseconds(20);

    internal static Report Run(Settings settings)
    {
        var (warmUp, length) = (TimeSpan.FromSeconds(1), settings.Length(2, 0.5));
        var report = new Report("hop", "PING bench -> memd -> bench; bare: two processes and an SPSC ring each way; client pinned to core 0, server to core 1, both spin", settings.Quick);
        Side Linked(int depth) => new($"hop, depth {depth}", () => OverLinks(depth, warmUp, length));
        Side Bare(int depth) => new($"bare, depth {depth}", () => OverBareRing(depth, warmUp, length));
        var series = report.Add(settings.Runner.Run("round trip", Bare(1), Linked(1), Bare(16), Linked(16),
            new Side("in process", () => InProcess(warmUp, length))));

        report.Add(new Figure("hop / bare, median latency at depth 1", series.Ratio("hop, depth 1", "bare, depth 1", "p50"), "×", 3, AtMost: true));
        report.Add(new Figure("hop / bare, mean round trip at depth 1", series.Ratio("bare, depth 1", "hop, depth 1", "rate"), "×"));
        report.Add(new Figure("rate at depth 16 / rate at depth 1", series.Ratio("hop, depth 16", "hop, depth 1", "rate"), "×", 2));
        report.Add(new Figure("in process, mean round trip", Quartiles.Of(series.Of("in process", "rate").Select(rate => 1e9 / rate)), "ns", 150, AtMost: true));
        foreach (string side in series.Sides)
        {
            report.Add(new Figure($"{side}: requests/s", Quartiles.Of(series.Of(side, "rate")), "/s"));
            report.Add(new Figure($"{side}: median latency", Quartiles.Of(series.Of(side, "p50")), "ns"));
            report.Add(new Figure($"{side}: client CPU per million", Quartiles.Of(series.Of(side, "cpuBench")), "s"));
            if (series.Has(side, "cpuServer")) report.Add(new Figure($"{side}: server CPU per million", Quartiles.Of(series.Of(side, "cpuServer")), "s"));
        }

        Plot.Bars(Path.Combine(settings.Results, "hop.svg"), "hop: PING round trip, median of rounds, quartiles", "M requests/s", series.Sides, ["rate"],
            (cell, _) => Quartiles.Of(series.Of(cell, "rate")), 1e6);
        return report;
    }

    // The other side's server must not spin on the same core meanwhile, so each run has its own.
    private static Figures OverLinks(int depth, TimeSpan warmUp, TimeSpan length)
    {
        using var chain = new Chain("memd", Settings.ServerCore, Spin, 16384);
        return chain.Measure(Options(depth, warmUp, length));
    }

    private static Figures OverBareRing(int depth, TimeSpan warmUp, TimeSpan length)
    {
        using var bare = new BarePingPong();
        return bare.Run(depth, warmUp, length);
    }

    private static BenchOptions Options(int depth, TimeSpan warmUp, TimeSpan length) => new()
    {
        Op = BenchOp.Ping,
        Route = "blocks",
        Depth = depth,
        WarmUp = warmUp,
        Duration = length,
        Core = Settings.ClientCore,
        Spin = Spin,
    };

    private static Figures InProcess(TimeSpan warmUp, TimeSpan length)
    {
        string directory = $"{Settings.Segments}/archipelago-experiment-{Environment.ProcessId}-in";
        using var logs = LoggingSetup.Create(new LogOptions { Level = LogLevel.Warning });
        try
        {
            using var segment = Segment.Create(directory, new SegmentOptions { Pages = 16384 });
            var runner = new BenchRunner(Options(1, warmUp, length), segment, logs.Factory, async host =>
            {
                foreach (var plan in PeerMaker.Plans(["memd"], [])) await host.StartAsync(plan);
            });
            return Chain.Of(runner.Run());
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
