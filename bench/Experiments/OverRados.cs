using System.Text.Json.Nodes;
using Archipelago.Bench;
using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Experiments;

/// <summary>4 KiB random writes, depth 16, over a one-node RADOS: within the cache, and over twice the cache.</summary>
internal static class OverRados
{
    private const int Objects = 32;
    private const long WorkingSet = Objects * (4L << 20);
    private const long AmpleCache = 2 * WorkingSet, ScarceCache = WorkingSet / 2;
    private const string Cached = "cached over radosd", Memd = "cached over memd", Alone = "radosd alone", Librbd = "librbd cache (fio)";

    private static readonly string WithinCell = $"within the cache ({AmpleCache >> 20} MiB)", TwiceCell = $"twice the cache ({ScarceCache >> 20} MiB)";
    private static readonly TimeSpan Spin = TimeSpan.FromMicroseconds(50);

    internal static Report Run(Settings settings)
    {
        MachineState.Uses("ceph", "--version");
        MachineState.Uses("fio", "--version");
        Console.WriteLine($"  {MachineState.Describe()}");
        var report = new Report("rados", $"4 KiB random write, depth 16, {WorkingSet >> 20} MiB, one-node RADOS ({settings.Store}), nothing pinned, bench in one process, peers in another; write-back by name, usual destaging", settings.Quick);
        using var cluster = new RadosCluster(settings.RadosScript, settings.Store);
        Tool.Output("rbd", "-c", cluster.Conf, "-p", RadosCluster.Pool, "create", "--size", $"{WorkingSet}B", "--image-feature", "layering,exclusive-lock", "bench");
        using var alone = new Chain("radosd", -1, Spin, 32_768, Rados(cluster, "alone"));
        Prime(alone, "blocks");
        if (settings.Wants(WithinCell)) Within(report, settings, cluster, alone);
        if (settings.Wants(TwiceCell)) Beyond(report, settings, cluster, alone);
        alone.Stop();
        return report;
    }

    private static void Within(Report report, Settings settings, RadosCluster cluster, Chain alone)
    {
        using var cached = new Chain("radosd,cached", -1, Spin, (AmpleCache >> 12) + 32_768, [.. CacheOf(AmpleCache), .. Rados(cluster, "within")]);
        using var memd = new Chain("memd,cached", -1, Spin, (AmpleCache >> 12) + 32_768, CacheOf(AmpleCache));
        Prime(cached, "cache");
        Prime(memd, "cache");
        string conf = cluster.RbdConf(AmpleCache);
        var length = settings.Length(10, 4);
        Side Bench(string name, Chain chain, string route) => new(name, () => WithOsd(cluster, () => chain.Measure(Options(route, length))));
        var series = report.Add(settings.Runner.Run(WithinCell,
            Bench(Cached, cached, "cache"), Bench(Memd, memd, "cache"), Bench(Alone, alone, "blocks"),
            new Side(Librbd, () => WithOsd(cluster, () => Rbd(conf, length)))));
        report.Add(new Figure("within: cached over radosd / cached over memd", series.Ratio(Cached, Memd, "rate"), "×", 0.4));
        report.Add(new Figure("within: cached over radosd / radosd alone", series.Ratio(Cached, Alone, "rate"), "×", 100));
        report.Add(new Figure("within: the same, final FLUSH counted", series.Ratio(Cached, "rateFlushed", Alone, "rateFlushed"), "×"));
        report.Add(new Figure("within: cached over radosd / librbd's cache", series.Ratio(Cached, Librbd, "rate"), "×"));
        report.Add(new Figure("within: cores of the OSD meanwhile", Quartiles.Of(series.Of(Cached, "osd")), "cores"));
        Rates(report, series, "within");
        cached.Stop();
        memd.Stop();
    }

    private static void Beyond(Report report, Settings settings, RadosCluster cluster, Chain alone)
    {
        using var cached = new Chain("radosd,cached", -1, Spin, (ScarceCache >> 12) + 32_768, [.. CacheOf(ScarceCache), .. Rados(cluster, "beyond")]);
        Prime(cached, "cache");
        string conf = cluster.RbdConf(ScarceCache);
        var length = settings.Length(60, 8);
        var lines = new Dictionary<string, List<double>>();
        Side Timed(string name, Chain chain, string route) => new(name, () => WithOsd(cluster, () =>
        {
            var intervals = new Intervals();
            var figures = chain.Measure(Options(route, length) with { WarmUp = TimeSpan.FromSeconds(settings.Quick ? 2 : 5) }, intervals.Note);
            lines[name] = intervals.PerSecond();
            figures["p10OfSeconds"] = Quartiles.Percentile(lines[name], 0.1);
            figures["worstSecond"] = lines[name].Min();
            return figures;
        }));
        var series = report.Add(settings.Runner.Run(TwiceCell,
            Timed(Cached, cached, "cache"), Timed(Alone, alone, "blocks"), new Side(Librbd, () => WithOsd(cluster, () => Rbd(conf, length)))));
        report.Add(new Figure("twice: mean rate, cached / radosd alone", series.Ratio(Cached, Alone, "rate"), "×", 1.0));
        report.Add(new Figure("twice: the same, final FLUSH counted", series.Ratio(Cached, "rateFlushed", Alone, "rateFlushed"), "×"));
        report.Add(new Figure("twice: 10th percentile of seconds, cached / radosd alone", series.Ratio(Cached, Alone, "p10OfSeconds"), "×", 0.9));
        report.Add(new Figure("twice: cached / librbd's cache", series.Ratio(Cached, Librbd, "rate"), "×"));
        foreach (string side in new[] { Cached, Alone })
            report.Add(new Figure($"twice: {side}, worst second", Quartiles.Of(series.Of(side, "worstSecond")), "/s"));
        Rates(report, series, "twice");
        foreach (var (name, values) in lines) report.Extra($"seconds, {name}, last round", new JsonArray([.. values.Select(value => (JsonNode?)JsonValue.Create(Math.Round(value)))]));
        Plot.Lines(Path.Combine(settings.Results, "rados.svg"), "4 KiB random write over twice the cache, last round", "writes per second", [.. lines.Select(line => (line.Key, (IReadOnlyList<double>)line.Value))]);
        cached.Stop();
    }

    private static void Rates(Report report, Series series, string cell)
    {
        foreach (string side in series.Sides)
        {
            report.Add(new Figure($"{cell}: {side}, writes/s", Quartiles.Of(series.Of(side, "rate")), "/s"));
            report.Add(new Figure($"{cell}: {side}, client CPU per million", Quartiles.Of(series.Of(side, "cpuBench")), "s"));
            if (series.Has(side, "cpuServer")) report.Add(new Figure($"{cell}: {side}, peers' CPU per million", Quartiles.Of(series.Of(side, "cpuServer")), "s"));
        }
    }

    private static string[] CacheOf(long bytes) => [$"cached.size={bytes}", "cached.policy=writeback"];

    private static string[] Rados(RadosCluster cluster, string name) =>
        [$"radosd.ceph-conf={cluster.Conf}", $"radosd.pool={RadosCluster.Pool}", $"radosd.namespace={name}", $"radosd.state={cluster.DirectoryPath}/{name}.instance"];

    /// <summary>Writes everything once, so that no run pays for the creation of objects.</summary>
    private static void Prime(Chain chain, string route) => chain.Bench(Options(route, TimeSpan.Zero) with { BlockSize = 1 << 20, Depth = 4, WarmUp = TimeSpan.Zero });

    private static BenchOptions Options(string route, TimeSpan length) => new()
    {
        Op = BenchOp.Write,
        Route = route,
        Depth = 16,
        Duration = length,
        WarmUp = TimeSpan.FromSeconds(1),
        Objects = Objects,
        Spin = Spin,
        Timeout = TimeSpan.FromMinutes(5),
    };

    private static Figures Rbd(string conf, TimeSpan length)
    {
        Environment.SetEnvironmentVariable("CEPH_CONF", conf);
        return Fio.Run(length, -1, "--ioengine=rbd", "--clientname=admin", $"--pool={RadosCluster.Pool}", "--rbdname=bench", "--rw=randwrite", "--iodepth=16", $"--size={WorkingSet}");
    }

    private static Figures WithOsd(RadosCluster cluster, Func<Figures> run)
    {
        double cpu = cluster.OsdCpu;
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        var figures = run();
        figures["osd"] = (cluster.OsdCpu - cpu) / System.Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds;
        return figures;
    }
}
