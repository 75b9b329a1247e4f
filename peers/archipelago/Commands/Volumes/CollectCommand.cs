using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;
using Archipelago.Runtime;
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
                    + "else, on one host at a time, and may be killed at any moment. Deleted volumes and snapshots do not need it: they are removed by themselves.",
            ],
            Options = [.. client, new("--dry-run", null, "Only look; with --json the names of what would be removed.")],
            Run = RunAsync,
            Examples = ["archipelago volume gc --dry-run"],
        },
    ];

    private static async Task<int> RunAsync(Invocation invocation, CancellationToken cancel)
    {
        bool dry = invocation.Has("--dry-run");
        var names = new List<string>();
        var last = new CollectItem("done", 0, 0);
        try
        {
            using var progress = new ProgressOfSteps();
            await VolumeHosts.StreamAsync(
                invocation, $"/v1/gc{(dry ? "?dry-run=true" : "")}", Nothing.Value, ControlJson.Default.Nothing, MapperdJson.Default.CollectItem,
                item =>
                {
                    last = item;
                    names.AddRange(item.Objects ?? []);
                    progress.Report(item);
                }, cancel);
        }
        catch (ErrnoException e) when (e.Errno == Errno.ENOENT && e.Message.Contains("/v1/gc", StringComparison.Ordinal))
        {
            throw new ErrnoException(Errno.ENOSYS, "the mapperd that runs has no collector: it is of an older build; start this one (`archipelago version`)", e);
        }

        if (invocation.Json) Invocation.WriteJson(new CollectView(dry, last.Found, last.Removed, names), DaemonJson.Default.CollectView);
        else Invocation.Write($"{Invocation.Number(last.Found)} objects that nothing refers to; {(dry ? "nothing was removed (--dry-run)" : $"{Invocation.Number(last.Removed)} removed")}");
        return ExitCode.Ok;
    }

    private sealed class ProgressOfSteps : IDisposable
    {
        private string _step = "";
        private Progress? _progress;

        internal void Report(CollectItem item)
        {
            if (item.Step != _step)
            {
                _progress?.Dispose();
                (_step, _progress) = (item.Step, new Progress(item.Step));
            }

            _progress!.Report(item.Done, item.Of);
        }

        public void Dispose() => _progress?.Dispose();
    }
}
