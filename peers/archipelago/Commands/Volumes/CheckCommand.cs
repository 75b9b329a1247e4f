using System.Globalization;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;
using static Archipelago.Cli.Commands.Volumes.VolumeArguments;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>`volume fsck`.</summary>
internal static class CheckCommand
{
    internal static CliCommand Entry(CliOption[] client) => new("volume fsck", "check that maps, headers, names and the catalogue agree")
    {
        Description =
        [
            "Checks of each volume that its record in the catalogue, its name and its header agree, that the records of its snapshots are sound and what they and the volume come from exists, and that all directories and "
                + "chunks of its maps are sound. What is damaged is named: the object of the store, the sector, and which bytes of the volume (OFFSET, LENGTH) it costs. Without NAME also names and headers that belong to no volume.",
            "Reads only, past all caches, beside everything else, from any host: what a change that goes on explains is not told, for everything is looked at twice before. Interrupted or killed, it leaves nothing. "
                + "Exit status 1 if there are problems. What crashes have left and nobody refers to is no problem: `archipelago volume gc` removes it.",
        ],
        Arguments = [new("NAME", "The volume; all if it is not given.", Minimum: 0, Shell: Common.VolumeNames)],
        Options =
        [
            .. client,
            new("--objects", null, "Also whether each object exists of which a map says so; without NAME also counts the objects that nothing refers to, as `volume gc --dry-run` does, for which it takes locks of volumes for a moment. "
                + "Asks the store for each object, slowly, so that guests do not notice."),
            new("--repair", null, "Puts right what follows from the headers: records of the catalogue, and names. Nothing else is changed."),
            new("--give-up", null, "Gives the volume NAME up if its header is missing or damaged, as nobody has a copy of that object: its name is free, and `archipelago volume gc`, which such a volume "
                + "stops, removes what only it referred to. Its clones keep what they share with it. A volume whose header is sound is left alone: delete that."),
        ],
        Run = RunAsync,
        Examples = ["archipelago volume fsck", "archipelago volume fsck vm1 --objects --json", "archipelago volume fsck vm1 --give-up"],
    };

    private static async Task<int> RunAsync(Invocation invocation, CancellationToken cancel)
    {
        var request = new CheckRequest(invocation.Argument("NAME").Length > 0 ? NameOf(invocation) : null, invocation.Has("--objects"), invocation.Has("--repair"), invocation.Has("--give-up"));
        var findings = new List<CheckFinding>();
        CheckResult? result = null;
        using (var progress = new StepProgress())
        {
            await VolumeHosts.StreamAsync(invocation, "/v1/fsck", request, MapperdJson.Default.CheckRequest, MapperdJson.Default.CheckItem, item =>
            {
                if (item.Finding is { } finding) findings.Add(finding);
                else progress.Report(item.Step, item.Count);
                result = item.Result ?? result;
            }, cancel);
        }

        if (invocation.Json) Invocation.WriteJson(new CheckView(findings, result!), DaemonJson.Default.CheckView);
        else Show(findings, result!);
        return result!.Problems == 0 ? ExitCode.Ok : ExitCode.Failed;
    }

    private static void Show(IReadOnlyList<CheckFinding> findings, CheckResult result)
    {
        if (findings.Count > 0)
            Invocation.WriteTable(
                ["VOLUME", "OBJECT", ">OFFSET", ">LENGTH", "~WHAT IS WRONG", "~WHAT TO DO"],
                findings.Select(f => (string[])[f.Volume, f.Object, Text(f.Offset), Text(f.Length), f.What, f.Advice]));
        foreach (string skipped in result.Skipped) Invocation.Note($"not looked at: {skipped}");
        if (result.Unreferenced is { } left) Invocation.Write($"{Invocation.Count(left, "object")} that nothing refers to{(left > 0 ? $"; `archipelago volume gc` removes {(left == 1 ? "it" : "them")}" : "")}");
        Invocation.Write($"{Invocation.Count(result.Volumes, "volume")}, {Invocation.Number(result.Entries)} {(result.Entries == 1 ? "entry" : "entries")} of maps checked{(result.Repaired > 0 ? $"; {Invocation.Number(result.Repaired)} repaired" : "")}");
        Invocation.Write($"{Invocation.Count(result.Problems, "problem")}");
    }

    private static string Text(ulong? value) => value?.ToString(CultureInfo.InvariantCulture) ?? "";
}
