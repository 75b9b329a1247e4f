using System.Diagnostics;
using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Experiments.Volumes;

/// <summary>Many clones of one image, made one after the other; then each of them reads the same of it, as if it booted.</summary>
internal static class Clones
{
    internal const string OnFiled = "clones: filed", OnRados = "clones: radosd";
    private const double MostSeconds = 5;
    /// <summary>Bytes in the cache against bytes of one copy: maps and what a rehearsal left may be there too, a second copy may not.</summary>
    private const double OneCopy = 1.05;
    private const int RehearsedObjects = 4;
    private const string Image = "image";

    internal static void Run(Report report, Settings settings, string cell, Store store)
    {
        int count = settings.Quick ? 10 : 100;
        long image = 1L << 30, read = settings.Quick ? 20L << 20 : 200L << 20;
        using (var chain = store.Start())
        {
            Store.MakeRehearsed(chain.Server, RehearsedObjects);
            Store.MakeImage(chain.Server, Image, image, settings.Quick ? read : image);
            chain.Stop();
        }

        var series = report.Add(settings.Runner.Run(cell, new Side(store.Name, () => Once(store, count, read))));
        Quartiles Of(string figure) => Quartiles.Of(series.Of(store.Name, figure));
        report.Add(new Figure($"{cell}: {count} clones made, one after the other", Of("make"), "s", MostSeconds, AtMost: true));
        report.Add(new Figure($"{cell}: {count} clones opened", Of("open"), "s"));
        report.Add(new Figure($"{cell}: {read >> 20} MiB read from the first", Of("first"), "s"));
        report.Add(new Figure($"{cell}: {read >> 20} MiB read from each of the others, median", Of("other"), "s"));
        report.Add(new Figure($"{cell}: {read >> 20} MiB read from each, all", Of("read"), "s"));
        report.Add(new Figure($"{cell}: bytes cached / {read >> 20} MiB", Of("copies"), "×", OneCopy, AtMost: true));
        report.Add(new Figure($"{cell}: reads of the store, the first clone", Of("misses"), ""));
        report.Add(new Figure($"{cell}: reads of the store, all others", Of("later misses"), "", 0, AtMost: true));
        report.Add(new Figure($"{cell}: {count} clones deleted", Of("delete"), "s"));
    }

    private static Figures Once(Store store, int count, long read)
    {
        using var chain = store.Start();
        var server = chain.Server;
        Store.Rehearse(server, RehearsedObjects);
        string[] clones = [.. Enumerable.Range(0, count).Select(i => $"clone{i}")];
        var figures = new Figures();
        void Timed(string figure, Action<string> work)
        {
            long start = Stopwatch.GetTimestamp();
            foreach (string clone in clones) work(clone);
            figures[figure] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        Timed("make", clone => server.Order($"call clone {clone} {Image}@s 0"));
        Timed("open", clone => server.Order($"open {clone}"));
        double[] before = server.Order("cache"), first = before;
        var took = new List<double>();
        Timed("read", clone =>
        {
            took.Add(server.Order($"read {clone} {read}")[0] / 1e9);
            if (took.Count == 1) first = server.Order("cache");
        });
        double[] after = server.Order("cache");
        figures["rate"] = count / figures["make"];
        figures["first"] = took[0];
        figures["other"] = Quartiles.Of(took.Skip(1)).Median;
        figures["copies"] = (after[0] - before[0]) / read;
        figures["misses"] = first[1] - before[1];
        figures["later misses"] = after[1] - first[1];
        Timed("close", clone => server.Order($"close {clone}"));
        Timed("delete", clone => server.Order($"call delete {clone} - 0"));
        server.Order("rest");
        chain.Stop();
        return figures;
    }
}
