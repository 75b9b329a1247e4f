using System.Text;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>Arguments that commands of volumes share, and how they are read.</summary>
internal static class VolumeArguments
{
    internal static readonly CliArgument Name = new("NAME", "Name of the volume: 1 to 89 of [A-Za-z0-9._-], not beginning with a dot.");
    internal static readonly CliArgument NewName = Name with { Help = "Name of the volume: 1 to 89 of [A-Za-z0-9._-], not beginning with a dot or a dash." };
    internal static readonly CliArgument Existing = Name with { Shell = Common.VolumeNames };
    internal static readonly CliArgument Either = new("NAME", "VOLUME or VOLUME@SNAPSHOT.", Shell: Common.VersionNames);
    internal static readonly CliArgument Snapshot = new("SNAPSHOT", "VOLUME@SNAPSHOT.", Shell: Common.SnapshotNames);
    internal static readonly CliArgument NewSnapshot = Snapshot with { Shell = Common.VolumeNames };
    internal static readonly CliArgument Size = new("SIZE", "Size such as 20G; units are powers of 1024; a multiple of 512 bytes.");
    internal static readonly BytesType SizeType = new(512, DaemonConfig.MaxVolumeBytes, 512);

    internal static string NameOf(Invocation invocation, string argument = "NAME")
    {
        string name = invocation.Argument(argument);
        if (IsSnapshot(name)) throw new UsageException($"{argument}: `{invocation.Command.Path}` takes a volume, and {name} is a snapshot of one: give {name[..name.IndexOf('@', StringComparison.Ordinal)]}");
        return VolumeName.IsValid(Encoding.UTF8.GetBytes(name)) ? name
            : throw new UsageException($"{argument}: expected {VolumeName.Expected}, found {ConfigError.Quote(name)}");
    }

    /// <summary>The name of a volume that is to be: an option that the command does not have, or not before this word, must not become one.</summary>
    internal static string NewNameOf(Invocation invocation, string argument = "NAME") =>
        NameOf(invocation, argument) is var name && !name.StartsWith('-') ? name
            : throw new UsageException($"{argument}: expected a name that does not start with a dash, as options do, found {ConfigError.Quote(name)}");

    internal static VolumeName EitherOf(Invocation invocation, string argument = "NAME")
    {
        try
        {
            return VolumeName.Parse(invocation.Argument(argument));
        }
        catch (ErrnoException)
        {
            string given = invocation.Argument(argument);
            if (given.EndsWith('@') && VolumeName.IsValid(Encoding.UTF8.GetBytes(given[..^1])))
                throw new UsageException($"{argument}: {given} is the name by which NBD clients read volume {given[..^1]} without writing; commands take {given[..^1]}, or a snapshot, {given}SNAPSHOT");
            throw new UsageException($"{argument}: expected {VolumeName.ExpectedEither}, found {ConfigError.Quote(invocation.Argument(argument))}");
        }
    }

    private static bool IsSnapshot(string name)
    {
        string[] parts = name.Split('@');
        return parts.Length == 2 && parts.All(part => VolumeName.IsValid(Encoding.UTF8.GetBytes(part)));
    }

    internal static VolumeName SnapshotOf(Invocation invocation, string argument = "SNAPSHOT") =>
        EitherOf(invocation, argument) is { Snapshot: not null } name ? name
            : throw new UsageException($"{argument}: expected VOLUME@SNAPSHOT, found {ConfigError.Quote(invocation.Argument(argument))}");
}
