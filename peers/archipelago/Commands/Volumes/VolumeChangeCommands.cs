using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Control;
using Archipelago.Vlmcd.Control;
using static Archipelago.Cli.Commands.Volumes.VolumeArguments;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>`volume create`, `info`, `resize`, `rename`, `delete`.</summary>
internal static class VolumeChangeCommands
{
    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("volume create", "create a volume")
        {
            Description =
            [
                "Blank, or, with --from-objects, of copies of objects that the store holds already: those may be deleted then. SIZE may be left out there: it is that of all objects of the list. Interrupted, or refused (ENOENT and "
                    + "EINVAL name the line), nothing of the volume is left; what a crash leaves `archipelago volume gc` removes.",
            ],
            Arguments = [NewName, Size with { Minimum = 0 }],
            Options = [.. client, new("--object-size", "SIZE", "Size of its objects, a power of two from 4k to 4M. Default: what [mapperd] says."), FromObjects.Option],
            Run = CreateAsync,
            Examples = ["archipelago volume create vm1 20G", "archipelago volume create vm2 --from-objects names.txt"],
        },
        new("volume info", "show a volume or snapshot, who has it open, and how to attach to it")
        {
            Description =
            [
                "lock: who may write to the volume, of all hosts of the store; openers: clients of gateways of this host, and `volume open`. removal: versions that were deleted, or left by "
                    + "a rollback or shrink, and whose objects are being removed in the background.",
            ],
            Arguments = [Either],
            Options = client,
            Run = (invocation, cancel) => VolumeInfoView.ShowAsync(invocation, EitherOf(invocation), cancel),
        },
        new("volume resize", "change the size of a volume")
        {
            Description = ["Clients that are connected may use a larger size at once, and see it when they connect the next time. What lies behind a smaller size is lost, which --shrink confirms; snapshots keep theirs."],
            Arguments = [Existing, Size],
            Options = [.. client, new("--shrink", null, "Allows a size that is smaller than the present one.")],
            Run = ResizeAsync,
        },
        new("volume rename", "give a volume another name")
        {
            Description = ["Refused while the volume is open. Its snapshots go with it."],
            Arguments = [Existing, new("NEW-NAME", NewName.Help)],
            Options = client,
            Run = RenameAsync,
        },
        new("volume delete", "delete a volume or a snapshot")
        {
            Description = ["Refused while the volume is open, while a snapshot has clones, and while a volume has snapshots. Its objects are removed in the background: `volume list` shows it as `deleting` until then."],
            Arguments = [Either],
            Options = [.. client, new("--snapshots", null, "With all its snapshots.")],
            Run = DeleteAsync,
        },
    ];

    /// <summary>Creates or clones.</summary>
    internal static async Task<int> MakeAsync(Invocation invocation, VolumeCreate request, CancellationToken cancel)
    {
        await VolumeHosts.AskChangerAsync(invocation, c => c.PostAsync("/v1/volumes", request, VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeState, cancel));
        return await VolumeInfoView.ShowAsync(invocation, new VolumeName(request.Name!, null), cancel);
    }

    private static Task<int> CreateAsync(Invocation invocation, CancellationToken cancel)
    {
        long objectSize = ObjectSizeOf(invocation);
        string name = NewNameOf(invocation);
        bool hasList = invocation.Get("--from-objects") != null;
        if (invocation.Argument("SIZE").Length == 0 && !hasList) throw new UsageException("SIZE is missing: it may be left out only with --from-objects");
        ulong? size = invocation.Argument("SIZE").Length == 0 ? null : (ulong)invocation.Argument("SIZE", SizeType);
        int? ofObjects = objectSize == 0 ? null : (int)objectSize;
        return hasList ? FromObjects.CreateAsync(invocation, name, size, ofObjects, cancel) : MakeAsync(invocation, new VolumeCreate(name, size!.Value, ofObjects), cancel);
    }

    /// <summary>0 for that of the configuration.</summary>
    private static long ObjectSizeOf(Invocation invocation)
    {
        if (invocation.Get("--object-size") is not { } text) return 0;
        return new BytesType(MapperdOptions.MinObjectSize, MapperdOptions.MaxObjectSize).TryParse(text, "", out long size, out _) && MapperdOptions.IsObjectSize(size) ? size
            : throw new UsageException($"--object-size: expected a power of two from 4k to 4M, found {ConfigError.Quote(text)}");
    }

    private static async Task<int> ResizeAsync(Invocation invocation, CancellationToken cancel)
    {
        var size = (ulong)invocation.Argument("SIZE", SizeType);
        string name = NameOf(invocation);
        var before = await VolumeHosts.DescribeAsync(invocation, name, cancel);
        if (size < before.Size && !invocation.Has("--shrink"))
            throw new ErrnoException(Errno.EINVAL, $"volume {before.Name} has {Invocation.Size(before.Size)}; a smaller size loses what lies behind it: say --shrink if that is meant");
        await VolumeHosts.ChangeAsync(invocation, name, new VolumeChange(Size: size), cancel);
        return await VolumeInfoView.ShowAsync(invocation, new VolumeName(name, null), cancel);
    }

    private static async Task<int> RenameAsync(Invocation invocation, CancellationToken cancel)
    {
        string name = NameOf(invocation), to = NewNameOf(invocation, "NEW-NAME");
        await VolumeHosts.ChangeAsync(invocation, name, new VolumeChange(Name: to), cancel);
        return await VolumeInfoView.ShowAsync(invocation, new VolumeName(to, null), cancel);
    }

    private static async Task<int> DeleteAsync(Invocation invocation, CancellationToken cancel)
    {
        var name = EitherOf(invocation);
        string path = $"/v1/volumes/{name}{(invocation.Has("--snapshots") ? "?snapshots=true" : "")}";
        await VolumeHosts.AskChangerAsync(invocation, c => c.DeleteAsync(path, ControlJson.Default.Nothing, cancel));
        string kind = name.Snapshot != null ? "snapshot" : "volume";
        if (invocation.Json) Invocation.WriteJson(new DeletedView(name.ToString(), kind), DaemonJson.Default.DeletedView);
        else Invocation.Write($"{kind} {name} is deleted");
        return ExitCode.Ok;
    }
}
