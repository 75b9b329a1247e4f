using Archipelago.Cli.CommandLine;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>`volume …`: all commands of volumes.</summary>
internal static class VolumeCommands
{
    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("volume", "volumes: the virtual disks"),
        .. VolumeChangeCommands.Table(client),
        .. VolumeListCommand.Table(client),
        .. SnapshotCommands.Table(client),
        .. LockCommands.Table(client),
        .. InspectCommands.Table(client),
        CheckCommand.Entry(client),
        .. CollectCommand.Table(client),
        .. Images.ImageCommands.Table(client),
    ];
}
