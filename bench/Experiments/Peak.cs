using Archipelago.Bench;
using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Experiments;

/// <summary>Hits and write-back writes at full speed: bench -> cached -> memd, two processes, each pinned, that spin.</summary>
internal static class Peak
{
    private static readonly TimeSpan Spin = TimeSpan.FromMilliseconds(20);
    private const string CopiedOut = "read 64 KiB, depth 16, copied out", CopiedOutScattered = CopiedOut + ", written 4 KiB by 4 KiB", Destaging = "write 4 KiB, depth 16, usual destaging";
    private const int Objects = 64, CachePages = 262_144;
    /// <summary>Managed bytes per request that round to none: what control requests, and code that is compiled late, cost is spread over millions.</summary>
    private const double NoBytes = 0.01;

    internal static Report Run(Settings settings)
    {
        var length = settings.Length(2, 0.5);
        var report = new Report("peak", $"bench -> cached -> memd; {Objects} objects of 4 MiB in a cache of 1 GiB, random, each block once per pass; client on core 0, cached and memd on core 1, both spin", settings.Quick);
        using var chain = NewChain("cached.dirty-age=1h", "cached.destage-ratio=70%");
        Fill(chain);

        foreach (int depth in new[] { 16, 1 })
        {
            double aim = depth == 16 ? 2.5e6 : 0.6e6;
            Cell(report, settings, chain, $"read 4 KiB, depth {depth}", Options(BenchOp.Read, 4096, depth, length), aim);
            Cell(report, settings, chain, $"write 4 KiB, depth {depth}", Options(BenchOp.Write, 4096, depth, length), aim);
        }

        Cell(report, settings, chain, "read 64 KiB, depth 16, untouched", Options(BenchOp.Read, 65536, 16, length), 1e6);
        chain.Stop();
        if (settings.Wants(CopiedOutScattered)) CopyOut(report, settings.Runner, length);
        if (settings.Wants(Destaging)) UsualDestaging(report, settings, length);
        string[] cells = [.. report.Series.Select(series => series.Cell)];
        Plot.Bars(Path.Combine(settings.Results, "peak.svg"), "peak: requests/s, median of rounds, quartiles", "M requests/s", cells, ["cached"],
            (cell, side) => Quartiles.Of(report.Series.First(series => series.Cell == cell).Of(side, "rate")), 1e6);
        return report;
    }

    private static Chain NewChain(params string[] settings)
    {
        var chain = new Chain("memd,cached", Settings.ServerCore, Spin, CachePages + 32_768,
            [$"cached.size={(long)CachePages * 4096}", "cached.policy=writeback", .. settings]);
        return chain;
    }

    private static void Fill(Chain chain) => chain.Bench(Options(BenchOp.Write, 65536, 16, TimeSpan.Zero) with { WarmUp = TimeSpan.Zero });

    private static BenchOptions Options(BenchOp op, int blockSize, int depth, TimeSpan length) => new()
    {
        Op = op,
        BlockSize = blockSize,
        Depth = depth,
        Duration = length,
        WarmUp = TimeSpan.FromSeconds(0.5),
        Objects = Objects,
        Core = Settings.ClientCore,
        Spin = Spin,
    };

    private static void Cell(Report report, Settings settings, Chain chain, string cell, BenchOptions options, double? aim)
    {
        if (!settings.Wants(cell)) return;
        var series = report.Add(settings.Runner.Run(cell, new Side("cached", () => chain.Measure(options))));
        report.Add(new Figure($"{cell}: requests/s", Quartiles.Of(series.Of("cached", "rate")), "/s", aim));
        if (series.Has("cached", "rateFlushed"))
            report.Add(new Figure($"{cell}: requests/s, final FLUSH counted", Quartiles.Of(series.Of("cached", "rateFlushed")), "/s"));
        report.Add(new Figure($"{cell}: client CPU per million", Quartiles.Of(series.Of("cached", "cpuBench")), "s"));
        report.Add(new Figure($"{cell}: server CPU per million", Quartiles.Of(series.Of("cached", "cpuServer")), "s"));
        NoAllocation(report, series, cell, "bytesServer", "server");
        NoAllocation(report, series, cell, "bytesBench", "client");
    }

    private static void NoAllocation(Report report, Series series, string cell, string figure, string side)
    {
        // The median: in the first round tables still grow to their steady size.
        report.Add(new Figure($"{cell}: managed bytes per request, {side}", Quartiles.Of(series.Of("cached", figure)), "B", NoBytes, AtMost: true));
    }

    /// <summary>
    /// Its own chain, as the pages of a block lie side by side only if they were written together: once as a guest that writes
    /// 64 KiB at a time leaves them, once after a pass of 4 KiB writes in random order, which is the worst that can be.
    /// </summary>
    private static void CopyOut(Report report, RoundRunner rounds, TimeSpan length)
    {
        using var chain = NewChain("cached.dirty-age=1h", "cached.destage-ratio=70%");
        Fill(chain);
        var read = Options(BenchOp.Read, 65536, 16, length) with { CopyOut = true };
        var cached = new Side("cached", () => chain.Measure(read));
        var loop = new Side("copy loop", () => Chain.Of(chain.Bench(read with { Op = BenchOp.Copy, CopyOut = false })));
        var scattered = new Side("scattered copy loop", () => ScatteredCopy.Run(Objects * 64, length));

        var series = report.Add(rounds.Run(CopiedOut, cached, loop));
        report.Add(new Figure("64 KiB copied out: bytes/s", Quartiles.Of(series.Of("cached", "bytesPerSecond")), "B/s"));
        report.Add(new Figure("plain copy loop: bytes/s", Quartiles.Of(series.Of("copy loop", "bytesPerSecond")), "B/s"));
        report.Add(new Figure("64 KiB copied out / plain copy loop", series.Ratio("cached", "copy loop", "bytesPerSecond"), "×", 0.8));

        chain.Bench(Options(BenchOp.Write, 4096, 16, TimeSpan.Zero) with { WarmUp = TimeSpan.Zero });
        series = report.Add(rounds.Run(CopiedOutScattered, cached, loop, scattered));
        report.Add(new Figure("written 4 KiB by 4 KiB, copied out: bytes/s", Quartiles.Of(series.Of("cached", "bytesPerSecond")), "B/s"));
        report.Add(new Figure("copy loop over scattered pages: bytes/s", Quartiles.Of(series.Of("scattered copy loop", "bytesPerSecond")), "B/s"));
        report.Add(new Figure("written 4 KiB by 4 KiB, copied out / plain copy loop", series.Ratio("cached", "copy loop", "bytesPerSecond"), "×"));
        report.Add(new Figure("written 4 KiB by 4 KiB, copied out / copy loop over scattered pages", series.Ratio("cached", "scattered copy loop", "bytesPerSecond"), "×"));
        chain.Stop();
    }

    /// <summary>The same writes with cached's usual watermarks: what destaging beside them costs. Its own chain.</summary>
    private static void UsualDestaging(Report report, Settings settings, TimeSpan length)
    {
        using var chain = NewChain();
        Fill(chain);
        Cell(report, settings, chain, Destaging, Options(BenchOp.Write, 4096, 16, length), null);
        chain.Stop();
    }
}
