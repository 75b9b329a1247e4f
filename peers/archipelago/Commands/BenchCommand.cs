using System.Diagnostics;
using Archipelago.Bench;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Logging;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cli.Commands;

/// <summary>`bench`: its options are the rows of <see cref="BenchTable"/>.</summary>
internal static class BenchCommand
{
    private static readonly CliOption InProcess = new(
        "--in-process", "PEER,…",
        "Hosts these peers on the bench's own thread, with a segment of its own that is removed afterwards: a hop is then a call. Their options come from --config and --set.",
        Repeats: true);

    internal static CliCommand Entry { get; } = new("bench", "measure a peer")
    {
        Description =
        [
            "Sends requests to a peer of a running chain, or to peers on its own thread, and prints rate, latency percentiles, CPU time and allocations. "
                + "The exit status is 1 if a request failed, if data was wrong, or if an assertion did not hold.",
            "--op write and mixed write: to objects of their own, \"bench.\" and a number, which are deleted after the run unless --keep is said; or, with --volume and "
                + "--overwrite-data, over the data of a volume, which is LOST.",
        ],
        Options =
        [
            Common.State, Common.Segment, Common.Config, Common.Set, InProcess,
            .. BenchTable.Section.Options.Select(o => o.Placeholder == "BOOL" || o is OptionSpec<bool> ? Switch(o) : Valued(o)),
            new("--quiet", null, "No progress line."),
            Common.Json,
        ],
        Examples =
        [
            "archipelago bench --op write --block-size 4k --depth 16 --verify full",
            "archipelago bench --op write --keep && archipelago bench --op read --seconds 10s --warm-up 1s --json",
            "archipelago bench --volume demo --op read --pattern zipf --seconds 30s",
            "archipelago bench --in-process memd --route blocks --op ping",
        ],
        Run = RunAsync,
    };

    private static CliOption Switch(OptionSpec option) => option.DefaultText == "true"
        ? new CliOption("--no-" + option.Key, null, $"Leaves out: {char.ToLowerInvariant(option.Description[0])}{option.Description[1..]}")
        : new CliOption("--" + option.Key, null, option.Description);

    private static CliOption Valued(OptionSpec option) => new(
        "--" + option.Key, option.Placeholder,
        $"{option.Description} Accepts {option.Expected}.{(option.DefaultText is { Length: > 0 } d ? $" Default: {d}." : "")}",
        Words: option.Placeholder.Contains('|', StringComparison.Ordinal) ? option.Placeholder.Split('|') : null,
        Shell: option.Key == "volume" ? Common.VolumeNames : null);

    private static async Task<int> RunAsync(Invocation invocation, CancellationToken cancel)
    {
        var options = Options(invocation);
        var peers = invocation.All("--in-process");
        BenchReport report;
        if (peers.Count > 0 || options.Op == BenchOp.Copy) report = InProcessRun(invocation, options, peers, cancel);
        else
        {
            using var segment = Common.Join(invocation);
            using var logs = LoggingSetup.Create(new LogOptions());
            report = await Task.Run(() => new BenchRunner(options, segment, logs.Factory).Run(Progress(invocation), cancel), CancellationToken.None);
        }

        if (!invocation.Has("--quiet") && !Console.IsErrorRedirected) Console.Error.Write("\r\u001b[K");
        if (invocation.Json) Invocation.WriteJson(report, BenchJson.Default.BenchReport);
        else Show(report);
        foreach (string message in report.Messages) Invocation.Note("archipelago: " + message);
        return report.Ok ? ExitCode.Ok : ExitCode.Failed;
    }

    private static BenchOptions Options(Invocation invocation)
    {
        var settings = new List<string>();
        foreach (var option in BenchTable.Section.Options)
        {
            if (option is OptionSpec<bool>)
            {
                bool isOn = option.DefaultText == "true";
                if (invocation.Has(isOn ? "--no-" + option.Key : "--" + option.Key)) settings.Add($"bench.{option.Key}={!isOn}");
            }
            else if (invocation.Get("--" + option.Key) is { } value) settings.Add($"bench.{option.Key}={value}");
        }

        try
        {
            var config = ConfigLoader.Load(new ConfigSchema(BenchTable.Section), new ConfigSources { Settings = settings });
            return BenchOptions.From(config[BenchTable.Section]);
        }
        catch (ConfigException e)
        {
            throw new UsageException(string.Join("\narchipelago: ", e.Errors.Select(x => $"--{x.Key}: expected {x.Expected}, found {x.Found}")));
        }
    }

    private static BenchReport InProcessRun(Invocation invocation, BenchOptions options, IReadOnlyList<string> names, CancellationToken cancel)
    {
        using var state = Common.StateOf(invocation);
        var kinds = PeerCatalogue.Named(names);
        var config = Common.ConfigOf(invocation, state, kinds);
        string[] served = [.. kinds.Select(config.RouteOf).OfType<string>()];
        if (served.Length > 0 && options.Volume.Length == 0 && !served.Contains(options.Route))
            throw new UsageException($"--route: expected a route that {string.Join(", ", names)} serves ({string.Join(", ", served)}), found {options.Route}");
        (PeerKind Kind, MadePeer Made)[] made = [.. kinds.Select(k => (k, k.Make(config.Config)))];
        string directory = $"/dev/shm/archipelago-bench-{Environment.ProcessId}";
        long shares = made.Sum(m => (long)m.Made.Pages) + BenchRunner.PagesNeeded(options);
        using var logs = LoggingSetup.Create(config.Log with { Level = LogLevel.Warning });
        using var segment = Segment.Create(directory, config.SegmentSizes(shares, made.Length));
        try
        {
            Func<PeerHost, Task>? hosts = made.Length == 0 ? null : async host =>
            {
                foreach (var (kind, peer) in made)
                    await host.StartAsync(new PeerPlan
                    {
                        Name = kind.Name,
                        Peer = peer.Peer,
                        Serves = config.RouteOf(kind),
                        Pages = peer.Pages,
                        KeepsCachePages = peer.KeepsCachePages,
                    });
            };
            return new BenchRunner(options, segment, logs.Factory, hosts).Run(Progress(invocation), cancel);
        }
        finally
        {
            // Private to this process, the lock file included. The memory goes when it is unmapped.
            Directory.Delete(directory, recursive: true);
        }
    }

    private static Action<BenchProgress>? Progress(Invocation invocation)
    {
        if (invocation.Has("--quiet") || invocation.Json || Console.IsErrorRedirected) return null;
        long before = 0;
        long at = Stopwatch.GetTimestamp();
        return progress =>
        {
            double seconds = Stopwatch.GetElapsedTime(at).TotalSeconds;
            double rate = Math.Max(0, progress.Requests - before) / seconds;
            (before, at) = (progress.Requests, Stopwatch.GetTimestamp());
            string share = progress.Limit is > 0 and < long.MaxValue ? $"{100.0 * progress.Requests / progress.Limit:0}% " : "";
            Console.Error.Write($"\r\u001b[K{progress.Phase.ToString().ToLowerInvariant()} {share}{progress.Elapsed.TotalSeconds:0.0} s, {Invocation.Number(rate)} requests/s");
        };
    }

    private static void Show(BenchReport r)
    {
        Invocation.WriteFields(
            [
                ("op", $"{r.Op} {r.Pattern}, {Invocation.Size(r.BlockSize)}, depth {r.Depth}, route {r.Route}{(r.InProcess ? ", in process" : "")}"),
                ("requests", $"{Invocation.Number(r.Requests)} in {r.Seconds:0.000} s ({Invocation.Number(r.Blocks)} blocks)"),
                ("rate", $"{Invocation.Number(r.RequestsPerSecond)} requests/s, {Invocation.Size(r.BytesPerSecond)}/s"),
                .. r.FlushSeconds is { } flush
                    ? [("with flush", $"{Invocation.Number(r.RequestsPerSecondFlushed ?? 0)} requests/s (FLUSH took {Invocation.Nanoseconds(flush * 1e9)})")]
                    : Array.Empty<(string, string)>(),
                ("latency", $"p50 {Invocation.Nanoseconds(r.Latency.P50)}, p90 {Invocation.Nanoseconds(r.Latency.P90)}, p99 {Invocation.Nanoseconds(r.Latency.P99)}, p99.9 {Invocation.Nanoseconds(r.Latency.P999)}, max {Invocation.Nanoseconds(r.Latency.Max)} ({Invocation.Number(r.Latency.Samples)} samples)"),
                ("cpu", $"{r.CpuSeconds:0.000} s, {r.CpuSecondsPerMillion:0.000} s per million requests"),
                ("allocated", $"{Invocation.Number(r.AllocatedBytes)} bytes, {r.AllocatedBytesPerRequest:0.###} per request"),
                ("verify", r.Verify == "none" ? "none" : $"{r.Verify}: {Invocation.Number(r.Mismatches)} wrong"),
                ("errors", r.Errors.Count == 0 ? "none" : string.Join(", ", r.Errors.Select(e => $"{e.Key} {e.Value}"))),
            ]);
    }
}
