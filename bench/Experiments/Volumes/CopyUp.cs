using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Experiments.Volumes;

/// <summary>
/// The first write of 4 KiB to each object of a clone of an image that is written all over, one at a time, by fio: ours over NBD, and librbd's on the same cluster.
/// Each of ours twice: with the image in the store only, and with all of it in the cache.
/// </summary>
internal static class CopyUp
{
    internal const string Cell = "copyup";
    private const long ObjectBytes = 4 << 20;
    private const int RehearsedObjects = 4;
    private const string Filed = "filed", Radosd = "radosd", Through = "radosd, write-through", Rbd = "rbd clone", RbdCache = "rbd clone, cache";

    private static int s_clones;

    internal static void Run(Report report, Settings settings, RadosCluster cluster, Store filed, Store radosd)
    {
        int objects = settings.Quick ? 16 : 64;
        foreach (var store in new[] { filed, radosd })
        {
            using var chain = store.Start();
            Store.MakeRehearsed(chain.Server, RehearsedObjects);
            Store.MakeImage(chain.Server, "image", objects * ObjectBytes, objects * ObjectBytes);
            chain.Stop();
        }

        var rbd = new RbdClones(cluster, objects * ObjectBytes);
        string none = cluster.RbdConfWithoutCache(), cache = cluster.RbdConf(32 << 20);
        var series = report.Add(settings.AtLeast(9).Run(Cell,
            new Side(Filed, () => Ours(filed, objects, "writeback")),
            new Side(Radosd, () => Ours(radosd, objects, "writeback")),
            new Side(Through, () => Ours(radosd, objects, "writethrough")),
            new Side(Rbd, () => rbd.Run(none, conf => FirstWrites(objects, conf))),
            new Side(RbdCache, () => rbd.Run(cache, conf => FirstWrites(objects, conf)))));
        foreach (string side in series.Sides)
            foreach (var (prefix, what) in new[] { ("", ""), ("cached ", ", image in the cache") })
            {
                if (!series.Has(side, prefix + "p50")) continue;
                report.Add(new Figure($"copyup: {side}{what}, p50", Scaled(series.Of(side, prefix + "p50"), 1e6), "ms"));
                report.Add(new Figure($"copyup: {side}{what}, p99", Scaled(series.Of(side, prefix + "p99"), 1e6), "ms"));
                report.Add(new Figure($"copyup: {side}{what}, mean with the final FLUSH", Scaled(series.Of(side, prefix + "each"), 1e6), "ms"));
            }

        foreach (string figure in new[] { "p50", "p99", "each" })
        {
            string what = figure == "each" ? "mean with the final FLUSH" : figure;
            report.Add(new Figure($"copyup: {Through} / {Rbd}, {what}", series.Ratio(Through, Rbd, figure), "×"));
            report.Add(new Figure($"copyup: {Through}, image in the cache / {Rbd}, {what}", series.Ratio(Through, "cached " + figure, Rbd, figure), "×"));
            report.Add(new Figure($"copyup: {Radosd} / {RbdCache}, {what}", series.Ratio(Radosd, RbdCache, figure), "×"));
            report.Add(new Figure($"copyup: {Radosd}, image in the cache / {RbdCache}, {what}", series.Ratio(Radosd, "cached " + figure, RbdCache, figure), "×"));
        }

        Plot.Bars(Path.Combine(settings.Results, "maps-copyup.svg"), "first write to a clone's object, 4 KiB, one at a time: median of runs, quartiles", "ms", ["p50", "p99", "each"], series.Sides,
            (figure, side) => Quartiles.Of(series.Of(side, figure)), 1e6, logarithmic: true);
    }

    private static Quartiles Scaled(IEnumerable<double> values, double by) => Quartiles.Of(values.Select(value => value / by));

    private static Figures Ours(Store store, int objects, string policy)
    {
        string socket = $"/dev/shm/archipelago-experiment-{Environment.ProcessId}-maps.sock";
        using var chain = store.Start("cached,mapperd,vlmcd,nbd", $"nbd.socket={socket}", $"cached.policy={policy}");
        var server = chain.Server;
        Store.Rehearse(server, RehearsedObjects);
        Figures Once(string image, int count)
        {
            // Policies go by name: one for each clone, so that each finds the flow as new.
            string clone = $"clone{Interlocked.Increment(ref s_clones)}";
            server.Order($"call clone {clone} {image}@s 0");
            if (policy == "writeback") chain.SetWriteBack(clone);
            if (image == "image") ReadIfSeen();
            var figures = FirstWrites(count, ["--ioengine=nbd", $"--uri=nbd+unix:///{clone}?socket={socket}"]);
            server.Order($"call delete {clone} - 0");
            server.Order("rest");
            return figures;
        }

        bool seen = false;
        void ReadIfSeen()
        {
            // The second time all of the image is read first: then its pages are there.
            if (seen)
            {
                server.Order("call clone reader image@s 0");
                server.Order("open reader");
                server.Order($"read reader {objects * ObjectBytes}");
                server.Order("close reader");
                server.Order("call delete reader - 0");
                server.Order("rest");
            }

            seen = true;
        }

        Once("rehearsed", RehearsedObjects);
        var result = Once("image", objects);
        foreach (var (name, value) in Once("image", objects)) result["cached " + name] = value;
        chain.Stop();
        return result;
    }

    /// <summary>The figures of fio, and "each": nanoseconds per write, the final FLUSH counted.</summary>
    private static Figures FirstWrites(int objects, IEnumerable<string> target)
    {
        var figures = Fio.Run(TimeSpan.Zero, -1,
            ["--rw=write:4092k", "--iodepth=1", $"--size={objects * ObjectBytes}", $"--io_size={objects * 4096}", $"--number_ios={objects}", "--end_fsync=1", .. target]);
        if (figures["requests"] != objects) throw new ExperimentException($"fio wrote {figures["requests"]} times, expected {objects}");
        figures["each"] = figures["seconds"] * 1e9 / objects;
        return figures;
    }
}
