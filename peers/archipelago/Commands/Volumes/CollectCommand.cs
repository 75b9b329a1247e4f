using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;
using Archipelago.Runtime.Control;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>`volume gc`.</summary>
internal static class CollectCommand
{
    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("volume gc", "remove objects of the store that nothing refers to")
        {
            Description =
            [
                "Crashes between two writes leave objects that no map names, and never the other way round. This looks through all maps and all objects of the store and removes those. It may run beside everything "
                    + "else, and may be killed at any moment; interrupted here, it goes on in mapperd. Deleted volumes and snapshots do not need it: they are removed by themselves. A damaged map stops it (EUCLEAN): what that refers to is not known.",
            ],
            Options = [.. client, new("--dry-run", null, "Only count.")],
            Run = RunAsync,
            Examples = ["archipelago volume gc --dry-run"],
        },
    ];

    private static async Task<int> RunAsync(Invocation invocation, CancellationToken cancel)
    {
        bool dry = invocation.Has("--dry-run");
        CollectResult? result = null;
        using (var progress = new StepProgress())
        {
            await VolumeHosts.StreamAsync(
                invocation, $"/v1/gc{(dry ? "?dry-run=true" : "")}", Nothing.Value, ControlJson.Default.Nothing, MapperdJson.Default.CollectItem,
                item =>
                {
                    result = item.Result ?? result;
                    progress.Report(item.Step, item.Count);
                }, cancel);
        }

        if (invocation.Json) Invocation.WriteJson(new CollectView(dry, result!), DaemonJson.Default.CollectView);
        else
        {
            Invocation.Write(
                $"{Invocation.Count(result!.Objects, "object")}, {Invocation.Number(result.Unreferenced)} of them referred to by nothing; {(dry ? "nothing was removed (--dry-run)" : $"{Invocation.Number(result.Removed)} removed")}"
                    + (result.Foreign > 0 ? $"; {Invocation.Count(result.Foreign, "object")} that {(result.Foreign == 1 ? "is none of ours was" : "are none of ours were")} left alone" : ""));
            foreach (string skipped in result.Skipped) Invocation.Note($"not looked at: {skipped}");
        }

        return ExitCode.Ok;
    }
}
