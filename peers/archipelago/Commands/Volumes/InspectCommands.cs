using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using static Archipelago.Cli.Commands.Volumes.VolumeArguments;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>`volume diff`, `du`, `hash`; `map` has a file of its own.</summary>
internal static class InspectCommands
{
    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        MapCommand.Entry(client),
        new("volume diff", "show what changed between two snapshots, or since one")
        {
            Description =
            [
                "Extents of TO that may differ from FROM: offset and length in bytes, and whether they hold data or read as zeros (`unknown`: the map is damaged there). Found by comparing the maps, in "
                    + "which what is shared is skipped at once; so the unit is the object (`volume info` shows its size): an object of which one byte was written counts as a whole, one written with what it held "
                    + "before counts, too. Extents end at the end of TO; what a smaller TO cut off is not shown. FROM and TO may be of different volumes, such as a clone and what it came from, if their objects have one size.",
                "Of a volume that is open the present state is compared, without what its clients have not yet had answered. Exit code 1: there are unknown extents.",
            ],
            Arguments = [new("FROM", "The older: VOLUME@SNAPSHOT, or VOLUME as it is now.", Shell: Common.VersionNames), new("TO", "The younger: VOLUME@SNAPSHOT or VOLUME.", Shell: Common.VersionNames)],
            Options = client,
            Run = DiffAsync,
            Examples = ["archipelago volume diff vm1@monday vm1@tuesday", "archipelago volume diff vm1@monday vm1 --json"],
        },
        new("volume du", "show what volumes and snapshots take in the store")
        {
            Description =
            [
                "OWN: bytes of objects that no version next to this one refers to, what deleting it would free; SHARED: bytes of objects that it has in common with the one it came from, or with one that came from "
                    + "it. A volume's own bytes are those written since its last snapshot. Sizes are those of the objects in the store (up to the last byte ever written; holes within an object count).",
                "What several versions share counts as SHARED in each of them; in the total, the last line, each object counts once. A clone alone counts with what it shares with the snapshot that it came from.",
                "Asks the store for each object, slowly, so that guests do not notice: a large volume takes minutes. Exit code 1: of damaged volumes or parts nothing is known.",
            ],
            Arguments = [new("NAME", "The volume; all if it is not given.", Minimum: 0, Shell: Common.VolumeNames)],
            Options = client,
            Run = UsageAsync,
        },
        new("volume hash", "address the content of a volume or snapshot")
        {
            Description =
            [
                "The root of the Merkle tree over the SHA-256 of its objects (each without trailing zeros), padded with zero digests to a power of two: equal content has equal hashes, in whatever layers it lies, if the objects "
                    + "have one size. Reads everything, which takes as long as the store needs. Of a volume that is written to meanwhile the hash is that of no moment: hash a snapshot.",
            ],
            Arguments = [Either],
            Options = client,
            Run = HashAsync,
        },
    ];

    private static async Task<int> DiffAsync(Invocation invocation, CancellationToken cancel)
    {
        string from = EitherOf(invocation, "FROM").ToString(), to = EitherOf(invocation, "TO").ToString();
        var extents = new List<DiffExtent>();
        using (var progress = new Progress($"comparing {from} with {to}"))
        {
            await VolumeHosts.StreamAsync(invocation, $"/v1/volumes/{to}/diff", new DiffRequest(from), MapperdJson.Default.DiffRequest, MapperdJson.Default.DiffItem, item =>
            {
                progress.Report(item.Done, item.Of);
                foreach (var extent in item.Extents) Add(extents, extent);
            }, cancel);
        }

        if (invocation.Json) Invocation.WriteJson(new DiffView(from, to, extents), DaemonJson.Default.DiffView);
        else Invocation.WriteTable([">OFFSET", ">LENGTH", "KIND"], extents.Select(e => (string[])[Plain(e.Offset), Plain(e.Length), e.Kind]));
        return extents.Exists(e => e.Kind == "unknown") ? ExitCode.Failed : ExitCode.Ok;
    }

    /// <summary>Extents that touch at the border of two chunks are one.</summary>
    private static void Add(List<DiffExtent> extents, DiffExtent next)
    {
        if (extents.Count > 0 && extents[^1] is var last && last.Kind == next.Kind && last.Offset + last.Length == next.Offset) extents[^1] = last with { Length = last.Length + next.Length };
        else extents.Add(next);
    }

    private static async Task<int> UsageAsync(Invocation invocation, CancellationToken cancel)
    {
        string given = invocation.Argument("NAME");
        var volumes = given.Length > 0 ? [] : (await VolumeHosts.AskMapperdAsync(invocation, c => c.GetAsync("/v1/volumes", MapperdJson.Default.VolumeList, cancel))).Volumes;
        string[] names = given.Length > 0 ? [NameOf(invocation)] : [.. volumes.Where(v => v.State != "deleting").Select(v => v.Name)];
        var found = new List<VersionUsage>();
        var totals = new Dictionary<string, UsageTotal>(StringComparer.Ordinal);
        bool isWhole = true;
        foreach (string name in names)
        {
            try
            {
                totals[name] = await CountAsync(invocation, name, found, cancel);
            }
            catch (ErrnoException damaged) when (given.Length == 0 && damaged.Errno is Errno.EIO or Errno.EPROTO)
            {
                // The others are still to be counted.
                Invocation.Note($"archipelago: not counted: {damaged.Message}");
                isWhole = false;
            }
        }

        var total = UsageSum.Of(totals, volumes);
        if (invocation.Json) Invocation.WriteJson(new UsageView(found, total), DaemonJson.Default.UsageView);
        else
        {
            Invocation.WriteTable(
                ["NAME", ">SIZE", ">OWN", ">SHARED", ">OWN OBJECTS", ">SHARED OBJECTS", "STATE"],
                found.Select(v => (string[])
                [
                    v.Name, Invocation.Size(v.Size), Invocation.Size(v.OwnBytes), Invocation.Size(v.SharedBytes), Invocation.Number(v.OwnObjects), Invocation.Number(v.SharedObjects),
                    v.DamagedObjects > 0 ? $"damaged: nothing is known of {Invocation.Count(v.DamagedObjects, "object")}" : v.State,
                ]));
            Invocation.Write($"total: {Invocation.Size(total.Bytes)} in {Invocation.Count(total.Objects, "object")}, each counted once");
        }

        return isWhole && found.All(v => v.DamagedObjects == 0) ? ExitCode.Ok : ExitCode.Failed;
    }

    private static async Task<UsageTotal> CountAsync(Invocation invocation, string name, List<VersionUsage> found, CancellationToken cancel)
    {
        UsageTotal? total = null;
        using var progress = new Progress($"counting the objects of {name}, in parts of its map");
        await VolumeHosts.StreamAsync(invocation, $"/v1/volumes/{name}/usage", Nothing.Value, ControlJson.Default.Nothing, MapperdJson.Default.UsageItem, item =>
        {
            progress.Report(item.Done, item.Of);
            found.AddRange(item.Versions ?? []);
            total = item.Total ?? total;
        }, cancel);
        return total!;
    }

    private static async Task<int> HashAsync(Invocation invocation, CancellationToken cancel)
    {
        string name = EitherOf(invocation).ToString(), hash = "";
        using (var progress = new Progress($"hashing {name}, objects"))
        {
            await VolumeHosts.StreamAsync(invocation, $"/v1/volumes/{name}/hash", Nothing.Value, ControlJson.Default.Nothing, MapperdJson.Default.HashItem, item =>
            {
                progress.Report(item.Done, item.Of);
                hash = item.Hash ?? hash;
            }, cancel);
        }

        if (invocation.Json) Invocation.WriteJson(new HashView(name, hash), DaemonJson.Default.HashView);
        else Invocation.Write($"{hash}  {name}");
        return ExitCode.Ok;
    }

    private static string Plain(ulong value) => value.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
