using System.Globalization;
using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;
using Archipelago.Experiments.Roles;

namespace Archipelago.Experiments.Experiments.Volumes;

/// <summary>4 KiB hits in one process, client to cache: a volume with a map against one without.</summary>
internal static class Overhead
{
    internal const string Read = "overhead: read 4 KiB", Write = "overhead: write 4 KiB";
    private const double MostNanoseconds = 50;

    internal static void Run(Report report, Settings settings)
    {
        Cell(report, settings, Read, "read", OverheadRole.Unmapped, OverheadRole.Mapped, OverheadRole.CopiedUp, OverheadRole.Inherited);
        // Nothing of an inherited object can be written: it is copied up first.
        Cell(report, settings, Write, "write", OverheadRole.Unmapped, OverheadRole.Mapped, OverheadRole.CopiedUp);
    }

    private static void Cell(Report report, Settings settings, string cell, string op, params string[] kinds)
    {
        if (!settings.Wants(cell)) return;
        var length = settings.Length(2, 0.5);
        long mebibytes = settings.Quick ? 64 : 256;
        var series = report.Add(settings.AtLeast(9).Run(cell, [.. kinds.Select(kind => new Side(kind, () => Once(kind, op, length, mebibytes)))]));
        foreach (string kind in kinds)
        {
            report.Add(new Figure($"{cell}: {kind}, best run", One(Best(series, kind)), "ns"));
            report.Add(new Figure($"{cell}: {kind}", Quartiles.Of(series.Of(kind, "ns")), "ns"));
            report.Add(new Figure($"{cell}: {kind}, managed bytes per request", Quartiles.Of(series.Of(kind, "bytes")), "B"));
            report.Add(new Figure($"{cell}: {kind}, reads of the store", Quartiles.Of(series.Of(kind, "misses")), "", 0, AtMost: true));
        }

        foreach (string kind in kinds[1..])
        {
            report.Add(new Figure($"{cell}: {kind} - {kinds[0]}, best runs", One(Best(series, kind) - Best(series, kinds[0])), "ns", kind == OverheadRole.Mapped ? MostNanoseconds : null, AtMost: true));
            report.Add(new Figure($"{cell}: {kind} - {kinds[0]}, round by round", Quartiles.Of(series.Rounds.Select(round => round[kind]["ns"] - round[kinds[0]]["ns"])), "ns"));
        }
    }

    // The least disturbed run of each side: what disturbs only ever adds.
    private static double Best(Series series, string kind) => series.Of(kind, "ns").Min();

    private static Quartiles One(double value) => new(value, value, value);

    private static Figures Once(string kind, string op, TimeSpan length, long mebibytes)
    {
        string directory = $"{Settings.Segments}/archipelago-experiment-{Environment.ProcessId}-overhead";
        try
        {
            string[] fields = Tool.Output(Environment.ProcessPath!, "role", "overhead", directory, kind, op,
                length.TotalSeconds.ToString(CultureInfo.InvariantCulture), $"{mebibytes}", $"{Settings.ServerCore}").Split(' ');
            double[] numbers = [.. fields.Select(field => double.Parse(field, CultureInfo.InvariantCulture))];
            return new Figures { ["rate"] = numbers[0], ["ns"] = 1e9 / numbers[0], ["p50"] = numbers[1], ["p99"] = numbers[2], ["bytes"] = numbers[3], ["misses"] = numbers[4] };
        }
        finally
        {
            if (Directory.Exists(directory)) Directory.Delete(directory, recursive: true);
        }
    }
}
