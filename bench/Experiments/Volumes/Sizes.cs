using System.Diagnostics;
using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Experiments.Volumes;

/// <summary>
/// What changes a volume as a whole, by its size, over filed. The volumes' maps have all their chunks, one object written in each: a blank volume's has none. Each
/// run has a chain of its own that has never seen the volume, but is warm.
/// </summary>
internal static class Sizes
{
    internal const string Cell = "size";
    private const double MostMilliseconds = 50;
    private const int RehearsedObjects = 4;
    /// <summary>Objects of a chunk of a map.</summary>
    internal const long ChunkBytes = 7936L * (4 << 20);

    private static readonly string[] Steps = ["open", "snapshot", "clone", "open clone", "delete clone", "delete snapshot", "create"];
    private static readonly (string Name, long Bytes)[] All = [("1GiB", 1L << 30), ("100GiB", 100L << 30), ("1TiB", 1L << 40), ("10TiB", 10L << 40)];

    internal static void Run(Report report, Settings settings) => VolumeMaps.WithFiled(store =>
    {
        using (var chain = store.Start())
        {
            Store.MakeRehearsed(chain.Server, RehearsedObjects);
            foreach (var (name, bytes) in All) Make(chain.Server, name, bytes);
            chain.Stop();
        }

        var series = report.Add(settings.AtLeast(9).Run(Cell, [.. All.Select(size => new Side(size.Name, () => Once(store, size.Name, size.Bytes)))]));
        var (small, large) = (All[0].Name, All[^1].Name);
        foreach (string step in Steps)
        {
            foreach (var (name, _) in All)
            {
                double? aim = name == large && step is "open" or "snapshot" ? MostMilliseconds : null;
                report.Add(new Figure($"size: {step}, {name}", Quartiles.Of(series.Of(name, step)), "ms", aim, AtMost: true));
            }

            report.Add(new Figure($"size: {step}, {large} / {small}", series.Ratio(large, small, step), "×"));
        }

        foreach (string step in new[] { "remove clone", "remove snapshot" })
            foreach (var (name, _) in All) report.Add(new Figure($"size: {step}, in the background, {name}", Quartiles.Of(series.Of(name, step)), "ms"));
        Blanks(report, settings, store);
        Plot.Bars(Path.Combine(settings.Results, "maps.svg"), "changes of volumes as a whole over filed, median of runs, quartiles", "ms", Steps, [.. All.Select(size => size.Name)],
            (step, size) => Quartiles.Of(series.Of(size, step)), logarithmic: true);
    });

    private static void Blanks(Report report, Settings settings, Store store)
    {
        var sizes = All.Where(size => !settings.Quick || size.Bytes <= 100L << 30).ToArray();
        var series = report.Add(new RoundRunner(1).Run("size: blank volumes", [.. sizes.Select(size => new Side(size.Name, () => Blank(store, size.Bytes)))]));
        foreach (var (name, _) in sizes)
        {
            report.Add(new Figure($"size: delete, blank, {name}", Quartiles.Of(series.Of(name, "delete")), "ms"));
            report.Add(new Figure($"size: remove, blank, in the background, {name}", Quartiles.Of(series.Of(name, "remove")), "ms"));
        }
    }

    /// <summary>Writes to each chunk once it is a snapshot's: so each is written.</summary>
    private static void Make(Daemon server, string name, long bytes)
    {
        server.Order($"call create {name} - {bytes}");
        server.Order($"open {name}");
        server.Order($"call snapshot {name} first 0");
        server.Order($"touch {name} 0 {ChunkBytes} {Chunks(bytes)}");
        server.Order($"close {name}");
    }

    private static long Chunks(long bytes) => (bytes + ChunkBytes - 1) / ChunkBytes;

    private static Figures Once(Store store, string name, long bytes)
    {
        using var chain = store.Start();
        var server = chain.Server;
        Store.Rehearse(server, RehearsedObjects);
        var figures = new Figures();
        void Step(string step, string order) => figures[step] = server.Order(order)[0] / 1e6;
        Step("open", $"open {name}");
        Step("snapshot", $"call snapshot {name} s 0");
        Step("clone", $"call clone c {name}@s 0");
        Step("open clone", "open c");
        server.Order("close c");
        Step("delete clone", "call delete c - 0");
        Step("remove clone", "rest");
        Step("delete snapshot", $"call delete {name}@s - 0");
        Step("remove snapshot", "rest");
        // It stays: what may be objects of a blank volume takes long to remove, see Blank.
        Step("create", $"call create n{Guid.NewGuid():n} - {bytes}");
        server.Order($"close {name}");
        chain.Stop();
        return figures;
    }

    /// <summary>A blank volume's map does not tell which objects there are: its removal asks for each. Once, as it takes its time.</summary>
    private static Figures Blank(Store store, long bytes)
    {
        using var chain = store.Start();
        Store.Rehearse(chain.Server, RehearsedObjects);
        chain.Server.Order($"call create blank - {bytes}");
        var figures = new Figures { ["delete"] = chain.Server.Order("call delete blank - 0")[0] / 1e6, ["remove"] = chain.Server.Order("rest")[0] / 1e6 };
        chain.Stop();
        return figures;
    }
}
