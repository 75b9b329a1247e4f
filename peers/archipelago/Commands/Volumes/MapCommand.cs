using System.Globalization;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using static Archipelago.Cli.Commands.Volumes.VolumeArguments;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>`volume map`.</summary>
internal static class MapCommand
{
    internal static CliCommand Entry(CliOption[] client) => new("volume map", "dump the map of a volume or snapshot, damage included")
    {
        Description =
        [
            "First the fields of the header, then the words of the directory (per chunk of 7,936 objects: in which layer it is, `-` for none: all its objects are then in that layer, if they exist), then the "
                + "entries in runs: objects, their layer, and whether they exist for sure (`yes`) or may (`maybe`: what does not exist reads as zeros). Object I of layer L is `o.L.I` in the store, I in 10 hex digits. "
                + "The layout is in peers/mapperd/README.md.",
            "What is damaged is named with object and sector; its objects fail with EIO, all others are read as usual. Exit status 1 if there is any.",
        ],
        Arguments = [Either],
        Options = client,
        Run = RunAsync,
    };

    private static async Task<int> RunAsync(Invocation invocation, CancellationToken cancel)
    {
        string name = EitherOf(invocation).ToString();
        MapHead? head = null;
        var chunks = new List<MapChunk>();
        using (var progress = new Progress($"reading the map of {name}, chunks"))
        {
            await VolumeHosts.StreamAsync(invocation, $"/v1/volumes/{name}/map", Nothing.Value, ControlJson.Default.Nothing, MapperdJson.Default.MapItem, item =>
            {
                head = item.Map ?? head;
                if (item.Chunk is { } chunk) chunks.Add(chunk);
                progress.Report(chunks.Count, head?.Chunks ?? 0);
            }, cancel);
        }

        string? from = await BaseOfAsync(invocation, head!, cancel);
        if (invocation.Json) Invocation.WriteJson(new MapView(head!, chunks, from), DaemonJson.Default.MapView);
        else Show(head!, chunks, from);
        return head!.Faults.Count > 0 || chunks.Any(chunk => chunk.Damaged.Count > 0) ? ExitCode.Failed : ExitCode.Ok;
    }

    /// <summary>The name of what the volume was cloned from; null if it was not, or the name is not known: the map has identities only.</summary>
    private static async Task<string?> BaseOfAsync(Invocation invocation, MapHead head, CancellationToken cancel)
    {
        if (head.BaseVolume == null) return null;
        try
        {
            string name = head.Name.Split('@')[0];
            return (await VolumeHosts.DescribeAsync(invocation, name, cancel)).Base is { } found && !found.StartsWith(head.BaseVolume, StringComparison.Ordinal) ? found : null;
        }
        catch (ErrnoException)
        {
            // A map is also looked at where the rest is damaged.
            return null;
        }
    }

    private static void Show(MapHead head, IReadOnlyList<MapChunk> chunks, string? from)
    {
        Invocation.WriteFields(
            ("name", head.Name), ("id", head.Id), ("size", Text(head.Size)), ("object size", Text((ulong)head.ObjectSize)), ("objects", Text(head.Objects)),
            ("header", head.Header), ("directory", head.Directory), ("layer", head.Layer), ("number", head.Number == 0 ? "" : Text(head.Number)), ("parent", head.Parent == 0 ? "" : Text(head.Parent)),
            ("base", head.BaseVolume == null ? "" : $"{(from is null ? "" : from + ", ")}{head.BaseVolume}@#{head.BaseSnapshot}"), ("next snapshot", Text(head.NextSnapshot)), ("slots", Text((ulong)head.Slots)),
            ("epoch", Text(head.Epoch)), ("sequence", Text(head.Sequence)));
        Invocation.Write("");
        Invocation.WriteTable(["CHUNKS", ">FIRST OBJECT", "LAYER", "OBJECT"], Words(chunks));
        Invocation.Write("");
        Invocation.WriteTable([">FIRST OBJECT", ">COUNT", "LAYER", "PRESENT"], Runs(chunks).Select(run => (string[])[Text(run.First), Text(run.Count), run.Layer ?? "damaged", run.Layer == null ? "" : run.Present ? "yes" : "maybe"]));
        foreach (string damage in head.Faults.Concat(chunks.SelectMany(chunk => chunk.Damaged))) Invocation.Note($"damaged: {damage}");
    }

    /// <summary>Words; chunks in a row that do not exist and are of one layer on one line.</summary>
    private static IEnumerable<string[]> Words(IReadOnlyList<MapChunk> chunks)
    {
        for (int i = 0; i < chunks.Count;)
        {
            int end = i + 1;
            while (chunks[i] is { Object: null, Damaged.Count: 0 } && end < chunks.Count && chunks[end] is { Object: null, Damaged.Count: 0 } && chunks[end].Layer == chunks[i].Layer) end++;
            yield return [end - i == 1 ? $"{chunks[i].Index}" : $"{chunks[i].Index}-{chunks[end - 1].Index}", Text(chunks[i].First), chunks[i].Layer ?? "damaged", chunks[i].Object ?? ""];
            i = end;
        }
    }

    /// <summary>Runs, joined over the borders of chunks.</summary>
    private static List<MapRun> Runs(IReadOnlyList<MapChunk> chunks)
    {
        var runs = new List<MapRun>();
        foreach (var run in chunks.SelectMany(chunk => chunk.Runs))
        {
            if (runs.Count > 0 && runs[^1] is var last && last.Layer == run.Layer && last.Present == run.Present) runs[^1] = last with { Count = last.Count + run.Count };
            else runs.Add(run);
        }

        return runs;
    }

    private static string Text(ulong value) => value.ToString(CultureInfo.InvariantCulture);
}
