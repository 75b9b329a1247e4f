using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;
using Archipelago.Xseg;

namespace Archipelago.Experiments.Experiments.Volumes;

/// <summary>Memory of mapperd and of vlmcd, each in a process of its own, with 1,000 volumes of 100 GiB in use.</summary>
internal static class OpenVolumes
{
    internal const string Cell = "memory";
    private const long Bytes = 100L << 30;
    private const string Open = "open", Blank = "an object of each chunk written", Snapshot = "the same after a snapshot of each";

    internal static void Run(Report report, Settings settings)
    {
        int count = settings.Quick ? 50 : 1000;
        // What is counted is not a matter of speed: one run tells.
        Series? series = null;
        VolumeMaps.WithFiled(store => series = report.Add(settings.AtLeast(1).Run(Cell, new Side("volumes", () => Once(store, count)))));
        foreach (string peer in new[] { "mapperd", "vlmcd" })
        {
            foreach (string kind in new[] { "managed", "private" })
                report.Add(new Figure($"memory: {peer}, none of them open, {kind}", Quartiles.Of(series!.Of("volumes", $"{peer}, before, {kind}")), "B"));
            foreach (string stage in new[] { Open, Blank, Snapshot })
                foreach (string kind in new[] { "managed", "private" })
                {
                    var grown = Quartiles.Of(series!.Of("volumes", $"{peer}, {stage}, {kind}"));
                    report.Add(new Figure($"memory: {peer}, {count} volumes, {stage}, {kind}", grown, "B"));
                    report.Add(new Figure($"memory: {peer}, {stage}, {kind}, per volume", new Quartiles(grown.Lower / count, grown.Median / count, grown.Upper / count), "B"));
                }
        }

        foreach (string step in new[] { "create", "open", "touch", "snapshot" })
            report.Add(new Figure($"memory: {step}, mean", Quartiles.Of(series!.Of("volumes", step)), "ms"));
    }

    private static Figures Once(Store store, int count)
    {
        // Over what an earlier round has left: names of its own.
        string prefix = $"v{Guid.NewGuid().ToString("n")[..6]}.";
        var segment = new SegmentOptions { Pages = 131_072, Flows = 4096 };
        using var chain = new Chain(segment, "filed,cached", -1, Store.Spin, [.. store.Options, "cached.size=256M", "cached.policy=writeback"]);
        var mapperd = chain.Join("mapperd", -1, Store.Spin);
        var vlmcd = chain.Join("vlmcd", -1, Store.Spin);
        var figures = new Figures();
        double Each(string command, Func<string, string> order)
        {
            double took = 0;
            for (int i = 0; i < count; i++) took += vlmcd.Order($"{command} {order($"{prefix}{i}")}").Sum();
            return took / count / 1e6;
        }

        // A volume of its own first, so that what is compiled and pooled once is no volume's.
        vlmcd.Order($"call create {prefix}first - {Bytes}");
        vlmcd.Order($"open {prefix}first");
        vlmcd.Order($"touch {prefix}first 0 {Sizes.ChunkBytes} 4");
        figures["create"] = Each("call create", name => $"{name} - {Bytes}");
        var before = (Mapperd: mapperd.Order("memory"), Vlmcd: vlmcd.Order("memory"));
        figures["mapperd, before, managed"] = before.Mapperd[0];
        figures["mapperd, before, private"] = before.Mapperd[1];
        figures["vlmcd, before, managed"] = before.Vlmcd[0];
        figures["vlmcd, before, private"] = before.Vlmcd[1];
        void Note(string stage)
        {
            foreach (var (peer, from, now) in new[] { ("mapperd", before.Mapperd, mapperd.Order("memory")), ("vlmcd", before.Vlmcd, vlmcd.Order("memory")) })
            {
                figures[$"{peer}, {stage}, managed"] = now[0] - from[0];
                figures[$"{peer}, {stage}, private"] = now[1] - from[1];
            }
        }

        figures["open"] = Each("open", name => name);
        figures["rate"] = 1e3 / figures["open"];
        Note(Open);
        figures["touch"] = Each("touch", name => $"{name} 0 {Sizes.ChunkBytes} 4");
        Note(Blank);
        figures["snapshot"] = Each("call snapshot", name => $"{name} s 0");
        // Now each chunk is of entries that differ, and is kept as such.
        Each("touch", name => $"{name} 0 {Sizes.ChunkBytes} 4");
        Note(Snapshot);
        chain.Stop();
        return figures;
    }
}
