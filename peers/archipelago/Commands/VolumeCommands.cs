using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Control;

namespace Archipelago.Cli.Commands;

/// <summary>`volume …`.</summary>
internal static class VolumeCommands
{
    private static readonly CliArgument Name = new("NAME", "Name of the volume: 1 to 89 of [A-Za-z0-9._-], not beginning with a dot.");
    private static readonly CliArgument Size = new("SIZE", "Size such as 20G; units are powers of 1024; a multiple of 512 bytes.");
    private static readonly BytesType SizeType = new(512, 1L << 60, 512);

    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("volume", "volumes: the virtual disks"),
        new("volume create", "create a volume") { Arguments = [Name, Size], Options = client, Run = CreateAsync, Examples = ["archipelago volume create vm1 20G"] },
        new("volume list", "list the volumes") { Options = client, Run = ListAsync },
        new("volume info", "show a volume and how to attach to it") { Arguments = [Name], Options = client, Run = InfoAsync },
        new("volume resize", "change the size of a volume")
        {
            Description = ["Clients see the new size when they connect the next time. What lies behind a smaller size is lost, which --shrink confirms."],
            Arguments = [Name, Size],
            Options = [.. client, new("--shrink", null, "Allows a size that is smaller than the present one.")],
            Run = ResizeAsync,
        },
        new("volume delete", "delete a volume")
        {
            Description = ["Refused while the volume is open."],
            Arguments = [Name],
            Options = client,
            Run = DeleteAsync,
        },
    ];

    private static string Path(Invocation invocation) => "/v1/volumes/" + Uri.EscapeDataString(invocation.Argument("NAME"));

    private static async Task<int> CreateAsync(Invocation invocation, CancellationToken cancel)
    {
        var request = new VolumeCreate(invocation.Argument("NAME"), invocation.Argument("SIZE", SizeType));
        Show(invocation, await Common.AskAsync(invocation, c => c.PostAsync("/v1/volumes", request, DaemonJson.Default.VolumeCreate, DaemonJson.Default.VolumeInfo, cancel)));
        return ExitCode.Ok;
    }

    private static async Task<int> ListAsync(Invocation invocation, CancellationToken cancel)
    {
        var list = await Common.AskAsync(invocation, c => c.GetAsync("/v1/volumes", DaemonJson.Default.VolumeList, cancel));
        if (invocation.Json) Invocation.WriteJson(list, DaemonJson.Default.VolumeList);
        else Invocation.WriteTable(["NAME", ">SIZE", "URI"], list.Volumes.Select(v => (string[])[v.Name, Invocation.Size(v.Size ?? 0), string.Join(" ", v.Uris)]));
        return ExitCode.Ok;
    }

    private static async Task<int> InfoAsync(Invocation invocation, CancellationToken cancel)
    {
        Show(invocation, await Common.AskAsync(invocation, c => c.GetAsync(Path(invocation), DaemonJson.Default.VolumeInfo, cancel)));
        return ExitCode.Ok;
    }

    private static async Task<int> ResizeAsync(Invocation invocation, CancellationToken cancel)
    {
        long size = invocation.Argument("SIZE", SizeType);
        var json = DaemonJson.Default;
        Show(invocation, await Common.AskAsync(invocation, async c =>
        {
            var before = await c.GetAsync(Path(invocation), json.VolumeInfo, cancel);
            if (size < before.Size && !invocation.Has("--shrink"))
                throw new ErrnoException(Errno.EINVAL, $"volume '{before.Name}' has {Invocation.Size(before.Size.Value)}; a smaller size loses what lies behind it: say --shrink if that is meant");
            return await c.PutAsync(Path(invocation), new VolumeResize(size), json.VolumeResize, json.VolumeInfo, cancel);
        }));
        return ExitCode.Ok;
    }

    private static async Task<int> DeleteAsync(Invocation invocation, CancellationToken cancel)
    {
        await Common.AskAsync(invocation, c => c.DeleteAsync(Path(invocation), ControlJson.Default.Nothing, cancel));
        if (invocation.Json) Invocation.WriteJson(Nothing.Value, ControlJson.Default.Nothing);
        else Invocation.Write($"volume '{invocation.Argument("NAME")}' is deleted");
        return ExitCode.Ok;
    }

    private static void Show(Invocation invocation, VolumeInfo volume)
    {
        if (invocation.Json) Invocation.WriteJson(volume, DaemonJson.Default.VolumeInfo);
        else
            Invocation.WriteFields(
                [("name", volume.Name), ("size", $"{Invocation.Size(volume.Size ?? 0)} ({volume.Size} bytes)"), .. volume.Uris.Select(uri => ("uri", uri))]);
    }
}
