using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Commands.Volumes;
using Archipelago.Runtime.Configuration;

namespace Archipelago.Cli.Commands.Images;

/// <summary>`volume import` and `volume export`: by qemu-img, through our own NBD socket.</summary>
internal static class ImageCommands
{
    internal static readonly string[] Formats = ["raw", "qcow2"];
    private static readonly CliOption Verify = new("--verify", null, "Compares both when it is done, byte by byte (`qemu-img compare`).");
    private static readonly CliOption Resume = new("--resume", null, "Go on with one that was interrupted: what was done stays, the part that was at hand is done again.");
    private static readonly CliOption Step = new("--step", "SIZE", "Bytes that are moved, made stable and noted at a time; --resume goes on from there. Default: 1G.");

    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("volume import", "make a volume from an image file")
        {
            Description =
            [
                "The volume gets the image's virtual size. Only what the image holds is written: holes stay holes. Needs `qemu-img` (Debian: qemu-utils) and a gateway that runs (`archipelago run nbd`).",
                "Interrupted, it says how much is there. Then --resume goes on, or `volume delete` takes it back. What is done is noted in the state directory, in import.NAME.",
                "An image from people whom you do not trust: say --format. A raw image may hold the header of another format, whose backing file would be read from this host.",
            ],
            Arguments = [new("FILE", "The image: raw, qcow2, or what else qemu-img reads."), VolumeArguments.NewName],
            Options =
            [
                .. client, new("--format", "FORMAT", "Format of the image, such as raw or qcow2. Default: what qemu-img finds.", Words: Formats),
                new("--backing", null, "Allows an image with a backing file, of which what it does not hold itself is read."), Resume, Verify, Step,
            ],
            Run = (invocation, cancel) => ImageImport.RunAsync(invocation, cancel),
            Examples = ["archipelago volume import debian-13.qcow2 debian --verify", "archipelago volume import disk.raw vm1 --format raw --resume"],
        },
        new("volume export", "write a volume or snapshot to an image file")
        {
            Description =
            [
                "Only what the volume holds is written: the file is sparse. Needs `qemu-img` (Debian: qemu-utils) and a gateway that runs (`archipelago run nbd`). Of a volume that is written to meanwhile the image is that of no "
                    + "moment: export a snapshot.",
                "Interrupted, --resume goes on; what is done is noted beside the file, in FILE.export.",
            ],
            Arguments = [VolumeArguments.Either, new("FILE", "The image, which must not exist.")],
            Options = [.. client, new("--format", "FORMAT", "raw or qcow2. Default: qcow2 if FILE ends with .qcow2, else raw.", Words: Formats), Resume, Verify, Step],
            Run = (invocation, cancel) => ImageExport.RunAsync(invocation, cancel),
            Examples = ["archipelago volume export vm1@monday vm1-monday.qcow2 --verify"],
        },
    ];

    /// <summary>The command that goes on with an import or export, with what it was told where and how to do.</summary>
    internal static string Resuming(Invocation invocation, string from, string to)
    {
        string[] same = [.. new[] { "--format", "--step" }.Where(o => invocation.Get(o) is not null).Select(o => $"{o} {Quoted(invocation.Get(o)!)}"), .. new[] { "--backing", "--verify" }.Where(invocation.Has)];
        return string.Join(' ', [$"archipelago {invocation.Command.Path} {Quoted(from)} {Quoted(to)} --resume", .. same]) + Where(invocation);
    }

    /// <summary>The options that say which processes are asked.</summary>
    internal static string Where(Invocation invocation) =>
        string.Concat(new[] { "--state", "--socket" }.Where(o => invocation.Get(o) is not null).Select(o => $" {o} {Quoted(invocation.Get(o)!)}"));

    /// <summary>A word for a shell.</summary>
    private static string Quoted(string word) =>
        word.Length > 0 && word.All(c => char.IsAsciiLetterOrDigit(c) || "/._-+=:,@".Contains(c, StringComparison.Ordinal)) ? word : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    internal static long StepOf(Invocation invocation) => invocation.Get("--step", new BytesType(1 << 20, 1L << 40, 1 << 20), 1L << 30);
}
