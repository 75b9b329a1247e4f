using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Runtime.Configuration;

namespace Archipelago.Cli.Commands;

/// <summary>All commands: the one table that parser, help pages and completion are made from. The first entry is the program itself.</summary>
internal static class CommandTable
{
    private static readonly CliOption[] Daemon = [Common.State, Common.Config, Common.Set];

    private static readonly CliOption[] Client = [Common.State, Common.Socket, Common.Json];

    private static readonly CliOption[] OnSegment = [Common.State, Common.Segment, Common.Json];

    internal static IReadOnlyList<CliCommand> All { get; } =
    [
        new("", "cache and transport for VM disks")
        {
            Description = ["Serves virtual disks over NBD from a chain of peers that pass requests through shared memory: gateway, volumes, cache, store.",
                "`archipelago up` starts a working chain without any configuration."],
            Examples = ["archipelago up", "archipelago volume create vm1 20G", "archipelago status"],
        },
        .. DaemonCommands.Table(Daemon),
        new("status", "show processes, peers and ports")
        {
            Description = ["A port is alive, hung (its process holds the kernel lock but gives no sign of life: stopped, or stuck) or dead (the process is gone; "
                + "a successor will take its requests over). Exit status 1 if nothing runs."],
            Options = [Common.State, Common.Segment, Common.Json],
            Run = StatusCommand.RunAsync,
        },
        .. Volumes.VolumeCommands.Table(Client),
        .. CacheCommands.Table(Client),
        .. SegmentCommands.Table(OnSegment),
        BenchCommand.Entry,
        new("config", "help with configuration files"),
        new("config example", "print a configuration file with every option and its default")
        {
            Options = [Common.Json],
            Examples = ["archipelago config example > archipelago.conf"],
            Run = (invocation, _) => ConfigCommands.Example(invocation),
        },
        new("config check", "check a configuration and print what is in force")
        {
            Description = ["Every fault is shown with file, line, section, key, what was expected and what was found. Exit status 2 if there is one."],
            Options = [.. Daemon, Common.Json],
            Run = ConfigCommands.CheckAsync,
        },
        new("completion", "completion for shells"),
        new("completion bash", "print a completion script for bash")
        {
            Examples = ["source <(archipelago completion bash)"],
            Run = (_, _) =>
            {
                Console.Out.Write(BashCompletion.Render(All!));
                return Task.FromResult(ExitCode.Ok);
            },
        },
        new("version", "print version and layout")
        {
            Options = [Common.Json],
            Run = (invocation, _) => ConfigCommands.Version(invocation),
        },
    ];
}
