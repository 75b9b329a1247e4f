using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Control;
using Archipelago.Vlmcd;
using Archipelago.Vlmcd.Control;
using Archipelago.Vlmcd.Format;

namespace Archipelago.Cli.Commands;

/// <summary>`volume …`: asks the process that hosts vlmcd.</summary>
internal static class VolumeCommands
{
    private const string Host = "vlmcd";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);
    private static readonly CliArgument Name = new("NAME", "Name of the volume: 1 to 89 of [A-Za-z0-9._-], not beginning with a dot.");
    private static readonly CliArgument Existing = Name with { Shell = Common.VolumeNames };
    private static readonly CliArgument Size = new("SIZE", "Size such as 20G; units are powers of 1024; a multiple of 512 bytes.");
    private static readonly BytesType SizeType = new(512, VolumeHeader.MaxBytes, 512);

    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("volume", "volumes: the virtual disks"),
        new("volume create", "create a volume")
        {
            Arguments = [Name, Size],
            Options = [.. client, new("--object-size", "SIZE", "Size of its objects, a power of two from 4k to 4M. Default: what [vlmcd] says.")],
            Run = CreateAsync,
            Examples = ["archipelago volume create vm1 20G"],
        },
        new("volume list", "list the volumes") { Options = client, Run = ListAsync },
        new("volume info", "show a volume and how to attach to it") { Arguments = [Existing], Options = client, Run = InfoAsync },
        new("volume resize", "change the size of a volume")
        {
            Description = ["Clients see the new size when they connect the next time. What lies behind a smaller size is lost, which --shrink confirms."],
            Arguments = [Existing, Size],
            Options = [.. client, new("--shrink", null, "Allows a size that is smaller than the present one.")],
            Run = ResizeAsync,
        },
        new("volume delete", "delete a volume")
        {
            Description = ["Refused while the volume is open. Its objects are removed in the background."],
            Arguments = [Existing],
            Options = [.. client, new("--force", null, "Also if its header is damaged.")],
            Run = DeleteAsync,
        },
    ];

    private static string PathOf(Invocation invocation) => "/v1/volumes/" + NameOf(invocation);

    private static string NameOf(Invocation invocation)
    {
        string name = invocation.Argument("NAME");
        return VolumeName.IsValid(System.Text.Encoding.UTF8.GetBytes(name)) ? name
            : throw new UsageException($"NAME: expected {VolumeName.Expected}, found {ConfigError.Quote(name)}");
    }

    private static async Task<int> CreateAsync(Invocation invocation, CancellationToken cancel)
    {
        long objectSize = invocation.Get("--object-size", new BytesType(VlmcdOptions.MinObjectSize, VlmcdOptions.MaxObjectSize, VlmcdOptions.MinObjectSize), 0);
        if (objectSize != 0 && !VlmcdOptions.IsObjectSize(objectSize))
            throw new UsageException($"--object-size: expected a power of two from 4k to 4M, found {invocation.Get("--object-size")}");
        var request = new VolumeCreate(NameOf(invocation), (ulong)invocation.Argument("SIZE", SizeType), objectSize == 0 ? null : (int)objectSize);
        return await ShowAsync(invocation, c => c.PostAsync("/v1/volumes", request, VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeInfo, cancel));
    }

    private static async Task<int> ListAsync(Invocation invocation, CancellationToken cancel)
    {
        var list = await Common.AskHostAsync(invocation, Host, c => c.GetAsync("/v1/volumes", VlmcdJson.Default.VolumeList, cancel), Limit);
        var uris = await UrisAsync(invocation);
        var view = new VolumesView([.. list.Volumes.Select(v => View(v, uris))]);
        if (invocation.Json) Invocation.WriteJson(view, DaemonJson.Default.VolumesView);
        else
            Invocation.WriteTable(
                ["NAME", ">SIZE", "STATE", ">OPENERS", "URI"],
                view.Volumes.Select(v => (string[])[v.Name, Invocation.Size(v.Size), v.State, Invocation.Number(v.Openers), string.Join(" ", v.Uris)]));
        return ExitCode.Ok;
    }

    private static Task<int> InfoAsync(Invocation invocation, CancellationToken cancel)
    {
        string path = PathOf(invocation);
        return ShowAsync(invocation, c => c.GetAsync(path, VlmcdJson.Default.VolumeInfo, cancel));
    }

    private static Task<int> ResizeAsync(Invocation invocation, CancellationToken cancel)
    {
        var size = (ulong)invocation.Argument("SIZE", SizeType);
        var json = VlmcdJson.Default;
        string path = PathOf(invocation);
        return ShowAsync(invocation, async c =>
        {
            var before = await c.GetAsync(path, json.VolumeInfo, cancel);
            if (size < before.Size && !invocation.Has("--shrink"))
                throw new ErrnoException(Errno.EINVAL, $"volume '{before.Name}' has {Invocation.Size(before.Size)}; a smaller size loses what lies behind it: say --shrink if that is meant");
            return await c.PutAsync(path, new VolumeResize(size), json.VolumeResize, json.VolumeInfo, cancel);
        });
    }

    private static async Task<int> DeleteAsync(Invocation invocation, CancellationToken cancel)
    {
        string path = PathOf(invocation) + (invocation.Has("--force") ? "?force=true" : "");
        await Common.AskHostAsync(invocation, Host, c => c.DeleteAsync(path, ControlJson.Default.Nothing, cancel), Limit);
        if (invocation.Json) Invocation.WriteJson(Nothing.Value, ControlJson.Default.Nothing);
        else Invocation.Write($"volume '{invocation.Argument("NAME")}' is deleted");
        return ExitCode.Ok;
    }

    private static async Task<int> ShowAsync(Invocation invocation, Func<ControlClient, Task<VolumeInfo>> ask)
    {
        var volume = View(await Common.AskHostAsync(invocation, Host, ask, Limit), await UrisAsync(invocation));
        if (invocation.Json) Invocation.WriteJson(volume, DaemonJson.Default.VolumeView);
        else
            Invocation.WriteFields(
                [
                    ("name", volume.Name), ("size", $"{Invocation.Size(volume.Size)} ({volume.Size} bytes)"), ("object size", Invocation.Size(volume.ObjectSize)),
                    ("created", volume.CreatedAt?.ToString("u", System.Globalization.CultureInfo.InvariantCulture) ?? ""),
                    ("state", volume.Fault is null ? volume.State : $"{volume.State}: {volume.Fault}"), ("openers", Invocation.Number(volume.Openers)),
                    .. volume.Uris.Select(uri => ("uri", uri)),
                ]);
        return ExitCode.Ok;
    }

    private static VolumeView View(VolumeInfo v, IReadOnlyList<string> uris) => new(
        v.Name, v.Size, v.ObjectSize, v.CreatedAt, v.Openers, v.State, v.Fault,
        [.. uris.Select(uri => uri.Replace(NbdKind.VolumePlaceholder, v.Name, StringComparison.Ordinal))]);

    /// <summary>Gateways may be processes of their own: all are asked how they name volumes.</summary>
    private static async Task<IReadOnlyList<string>> UrisAsync(Invocation invocation)
    {
        var uris = new List<string>();
        foreach (string socket in Common.Sockets(invocation))
        {
            using var client = new ControlClient(socket) { Timeout = TimeSpan.FromSeconds(5) };
            try
            {
                var report = await client.GetAsync("/v1/status", ControlJson.Default.StatusReport);
                foreach (var (_, section) in report.Sections)
                    if (section?["uris"] is System.Text.Json.Nodes.JsonArray templates) uris.AddRange(templates.Select(t => t!.GetValue<string>()));
            }
            catch (ErrnoException)
            {
                // A process that died or hangs exports nothing.
            }
        }

        return uris;
    }
}
