using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>`volume list`.</summary>
internal static class VolumeListCommand
{
    private static readonly string[] Heads = ["NAME", ">SIZE", "STATE", ">OPENERS", "URI"];

    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("volume list", "list the volumes")
        {
            Description =
            [
                "As a tree: below a volume its snapshots (@NAME), oldest first, and below a snapshot the volumes that were cloned from it. What is `deleting` cannot be used "
                    + "any more; its objects are being removed, or wait until clones that share them are gone. @#N is a version without a name that a shrink or rollback left.",
                "OPENERS: clients of gateways of this host, and `volume open`. A volume that another host has open shows 0; `volume info` tells who has it.",
            ],
            Options =
            [
                .. client,
                new("--flat", null, "A plain table of the volumes alone, sorted by name: for scripts. The list of --json is in this order, too."),
                new("--names", null, "The names of the volumes alone, one per line, without what is being deleted."),
                new("--snapshots", null, "With --names: also those of the snapshots, as VOLUME@SNAPSHOT."),
            ],
            Run = RunAsync,
            Examples = ["archipelago volume list", "archipelago volume list --names"],
        },
    ];

    private static async Task<int> RunAsync(Invocation invocation, CancellationToken cancel)
    {
        bool isFlat = invocation.Has("--flat");
        if (invocation.Has("--names")) return await NamesAsync(invocation, cancel);
        if (invocation.Has("--snapshots")) throw new UsageException("--snapshots: goes with --names; the tree and --json have the snapshots without it");
        // A clone's base has its name from the snapshots.
        string path = isFlat && !invocation.Json ? "/v1/volumes" : "/v1/volumes?snapshots=true";
        var list = await VolumeHosts.AskMapperdAsync(invocation, c => c.GetAsync(path, MapperdJson.Default.VolumeList, cancel));
        var uris = await VolumeHosts.UrisAsync(invocation);
        var open = await VolumeHosts.OpenersAsync(invocation, cancel);
        VolumeView[] views = [.. list.Volumes.Select(v => VolumeHosts.View(v, uris, open))];
        if (invocation.Json) Invocation.WriteJson(new VolumesView([.. VolumeTree.Named(views)]), DaemonJson.Default.VolumesView);
        else if (isFlat) Invocation.WriteTable(Heads, views.Select(v => Row(v.Name, v)));
        else
            Invocation.WriteTable(Heads, new VolumeTree(views).Lines().Select(line => line.Snapshot is not { } snapshot ? Row(line.Text, line.Volume) :
            [
                line.Text, Invocation.Size(snapshot.Size), snapshot.State, Invocation.Number(open.Open.Where(o => o.Name == $"{line.Volume.Name}@{snapshot.Name}").Sum(o => o.Openers)),
                snapshot.State == "ok" ? string.Join(" ", VolumeHosts.UrisOf(uris, $"{line.Volume.Name}@{snapshot.Name}")) : "",
            ]));
        foreach (var damaged in views.Where(v => v.Fault != null)) Invocation.Note($"archipelago: {damaged.Name} is damaged: {damaged.Fault}");
        return ExitCode.Ok;
    }

    private static async Task<int> NamesAsync(Invocation invocation, CancellationToken cancel)
    {
        if (invocation.Json) throw new UsageException("--names: lines of text; --json has the names, too");
        string path = invocation.Has("--snapshots") ? "/v1/volumes?snapshots=true" : "/v1/volumes";
        var list = await VolumeHosts.AskMapperdAsync(invocation, c => c.GetAsync(path, MapperdJson.Default.VolumeList, cancel));
        foreach (var volume in list.Volumes.Where(v => v.State != "deleting"))
        {
            Invocation.Write(volume.Name);
            foreach (var snapshot in (volume.Snapshots ?? []).Where(s => s is { State: "ok", Name.Length: > 0 })) Invocation.Write($"{volume.Name}@{snapshot.Name}");
        }

        return ExitCode.Ok;
    }

    /// <summary>A large volume may take minutes to go.</summary>
    private static string StateOf(VolumeView v) => v.Removal is { Work: { Of: > 0 } work } ? $"{v.State} {Invocation.Number(100 * work.Done / work.Of)} %" : v.State;

    private static string[] Row(string text, VolumeView v) => [text, Invocation.Size(v.Size), StateOf(v), Invocation.Number(v.Openers), string.Join(" ", v.Uris)];
}
