using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Mapperd;
using Archipelago.Mapperd.Control;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Control;
using Archipelago.Vlmcd.Control;

namespace Archipelago.Cli.Commands;

/// <summary>`volume …`: asks the process that hosts vlmcd.</summary>
internal static class VolumeCommands
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);
    private static readonly CliArgument Name = new("NAME", "Name of the volume: 1 to 89 of [A-Za-z0-9._-], not beginning with a dot.");
    private static readonly CliArgument Existing = Name with { Shell = Common.VolumeNames };
    private static readonly CliArgument Snapshot = new("SNAPSHOT", "VOLUME@SNAPSHOT.");
    private static readonly CliArgument Size = new("SIZE", "Size such as 20G; units are powers of 1024; a multiple of 512 bytes.");
    private static readonly BytesType SizeType = new(512, DaemonConfig.MaxVolumeBytes, 512);

    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("volume", "volumes: the virtual disks"),
        new("volume create", "create a volume")
        {
            Arguments = [Name, Size],
            Options = [.. client, new("--object-size", "SIZE", "Size of its objects, a power of two from 4k to 4M. Default: what [mapperd] says.")],
            Run = CreateAsync,
            Examples = ["archipelago volume create vm1 20G"],
        },
        new("volume list", "list the volumes") { Options = client, Run = ListAsync },
        new("volume info", "show a volume and how to attach to it") { Arguments = [Existing], Options = client, Run = InfoAsync },
        new("volume resize", "change the size of a volume")
        {
            Description = ["Clients that are connected may use a larger size at once, and see it when they connect the next time. What lies behind a smaller size is lost, which --shrink confirms."],
            Arguments = [Existing, Size],
            Options = [.. client, new("--shrink", null, "Allows a size that is smaller than the present one.")],
            Run = ResizeAsync,
        },
        new("volume clone", "make a volume that begins as a snapshot is")
        {
            Description = ["No data is copied: clone and snapshot share what neither has changed. The snapshot cannot be deleted while it has clones; see `volume flatten`."],
            Arguments = [Snapshot, Name],
            Options = [.. client, new("--size", "SIZE", "Size of the clone, at least that of the snapshot, which is the default.")],
            Run = CloneAsync,
            Examples = ["archipelago volume clone debian@2026-11 vm1 --size 40G"],
        },
        new("volume snapshot", "make a snapshot of a volume, also while it is in use")
        {
            Description = ["It holds everything that was answered before. Moves no data, whatever the size."],
            Arguments = [Snapshot],
            Options = client,
            Run = SnapshotAsync,
            Examples = ["archipelago volume snapshot vm1@before-upgrade"],
        },
        new("volume rollback", "make a volume what a snapshot of it is")
        {
            Description = ["Refused while the volume is open. What was written since the last snapshot is lost; later snapshots stay."],
            Arguments = [Snapshot],
            Options = client,
            Run = RollbackAsync,
        },
        new("volume flatten", "copy what a clone shares, so that it does not need the snapshot any more") { Arguments = [Existing], Options = client, Run = FlattenAsync },
        new("volume rename", "give a volume another name")
        {
            Description = ["Refused while the volume is open."],
            Arguments = [Existing, new("NEW-NAME", Name.Help)],
            Options = client,
            Run = RenameAsync,
        },
        new("volume delete", "delete a volume or a snapshot")
        {
            Description = ["Refused while the volume is open, while a snapshot has clones, and while a volume has snapshots. Its objects are removed in the background."],
            Arguments = [Existing],
            Options = [.. client, new("--snapshots", null, "With all its snapshots.")],
            Run = DeleteAsync,
        },
    ];

    private static string NameOf(Invocation invocation)
    {
        string name = invocation.Argument("NAME");
        return VolumeName.IsValid(System.Text.Encoding.UTF8.GetBytes(name)) ? name
            : throw new UsageException($"NAME: expected {VolumeName.Expected}, found {ConfigError.Quote(name)}");
    }

    private static Task<int> CreateAsync(Invocation invocation, CancellationToken cancel)
    {
        long objectSize = invocation.Get("--object-size", new BytesType(MapperdOptions.MinObjectSize, MapperdOptions.MaxObjectSize, MapperdOptions.MinObjectSize), 0);
        if (objectSize != 0 && !MapperdOptions.IsObjectSize(objectSize))
            throw new UsageException($"--object-size: expected a power of two from 4k to 4M, found {invocation.Get("--object-size")}");
        return MakeAsync(invocation, new VolumeCreate(NameOf(invocation), (ulong)invocation.Argument("SIZE", SizeType), objectSize == 0 ? null : (int)objectSize), cancel);
    }

    private static Task<int> CloneAsync(Invocation invocation, CancellationToken cancel) =>
        MakeAsync(invocation, new VolumeCreate(NameOf(invocation), (ulong)invocation.Get("--size", SizeType, 0), From: SnapshotOf(invocation, "SNAPSHOT")), cancel);

    private static async Task<int> MakeAsync(Invocation invocation, VolumeCreate request, CancellationToken cancel)
    {
        await AskChangerAsync(invocation, c => c.PostAsync("/v1/volumes", request, VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeState, cancel));
        return await ShowAsync(invocation, request.Name!, cancel);
    }

    private static async Task<int> ListAsync(Invocation invocation, CancellationToken cancel)
    {
        var list = await AskMapperdAsync(invocation, c => c.GetAsync("/v1/volumes", MapperdJson.Default.VolumeList, cancel));
        var uris = await UrisAsync(invocation);
        var open = await OpenersAsync(invocation, cancel);
        var view = new VolumesView([.. list.Volumes.Select(v => View(v, uris, open))]);
        if (invocation.Json) Invocation.WriteJson(view, DaemonJson.Default.VolumesView);
        else
            Invocation.WriteTable(
                ["NAME", ">SIZE", "STATE", ">OPENERS", "URI"],
                view.Volumes.Select(v => (string[])[v.Name, Invocation.Size(v.Size), v.State, Invocation.Number(v.Openers), string.Join(" ", v.Uris)]));
        return ExitCode.Ok;
    }

    private static Task<int> InfoAsync(Invocation invocation, CancellationToken cancel) => ShowAsync(invocation, NameOf(invocation), cancel);

    private static async Task<int> ResizeAsync(Invocation invocation, CancellationToken cancel)
    {
        var size = (ulong)invocation.Argument("SIZE", SizeType);
        string name = NameOf(invocation);
        var before = await AskMapperdAsync(invocation, c => c.GetAsync("/v1/volumes/" + name, MapperdJson.Default.VolumeInfo, cancel));
        if (size < before.Size && !invocation.Has("--shrink"))
            throw new ErrnoException(Errno.EINVAL, $"volume '{before.Name}' has {Invocation.Size(before.Size)}; a smaller size loses what lies behind it: say --shrink if that is meant");
        return await ChangeAsync(invocation, name, new VolumeChange(Size: size), name, cancel);
    }

    private static Task<int> SnapshotAsync(Invocation invocation, CancellationToken cancel)
    {
        var snapshot = VolumeName.Parse(SnapshotOf(invocation, "SNAPSHOT"));
        return ChangeAsync(invocation, snapshot.Volume, new VolumeChange(Snapshot: snapshot.Snapshot), snapshot.Volume, cancel);
    }

    private static Task<int> RollbackAsync(Invocation invocation, CancellationToken cancel)
    {
        var snapshot = VolumeName.Parse(SnapshotOf(invocation, "SNAPSHOT"));
        return ChangeAsync(invocation, snapshot.Volume, new VolumeChange(Rollback: snapshot.Snapshot), snapshot.Volume, cancel);
    }

    private static Task<int> FlattenAsync(Invocation invocation, CancellationToken cancel) =>
        ChangeAsync(invocation, NameOf(invocation), new VolumeChange(Flatten: true), NameOf(invocation), cancel);

    private static Task<int> RenameAsync(Invocation invocation, CancellationToken cancel)
    {
        string to = invocation.Argument("NEW-NAME");
        return ChangeAsync(invocation, NameOf(invocation), new VolumeChange(Name: to), to, cancel);
    }

    private static async Task<int> ChangeAsync(Invocation invocation, string name, VolumeChange change, string then, CancellationToken cancel)
    {
        await AskChangerAsync(invocation, c => c.PutAsync("/v1/volumes/" + name, change, VlmcdJson.Default.VolumeChange, VlmcdJson.Default.VolumeState, cancel));
        return await ShowAsync(invocation, then, cancel);
    }

    private static async Task<int> DeleteAsync(Invocation invocation, CancellationToken cancel)
    {
        string name = EitherOf(invocation, "NAME");
        string path = $"/v1/volumes/{name}{(invocation.Has("--snapshots") ? "?snapshots=true" : "")}";
        await AskChangerAsync(invocation, c => c.DeleteAsync(path, ControlJson.Default.Nothing, cancel));
        if (invocation.Json) Invocation.WriteJson(Nothing.Value, ControlJson.Default.Nothing);
        else Invocation.Write($"{(name.Contains('@') ? "snapshot" : "volume")} '{name}' is deleted");
        return ExitCode.Ok;
    }

    private static async Task<int> ShowAsync(Invocation invocation, string name, CancellationToken cancel)
    {
        var info = await AskMapperdAsync(invocation, c => c.GetAsync("/v1/volumes/" + name, MapperdJson.Default.VolumeInfo, cancel));
        var volume = View(info, await UrisAsync(invocation), await OpenersAsync(invocation, cancel));
        if (invocation.Json) Invocation.WriteJson(volume, DaemonJson.Default.VolumeView);
        else
            Invocation.WriteFields(
                [
                    ("name", volume.Name), ("size", $"{Invocation.Size(volume.Size)} ({volume.Size} bytes)"), ("object size", Invocation.Size(volume.ObjectSize)),
                    ("created", volume.CreatedAt?.ToString("u", System.Globalization.CultureInfo.InvariantCulture) ?? ""),
                    ("state", volume.Fault is null ? volume.State : $"{volume.State}: {volume.Fault}"), ("openers", Invocation.Number(volume.Openers)),
                    .. volume.Base is null ? [] : new[] { ("cloned from", volume.Base) },
                    .. (info.Snapshots ?? []).Where(s => s.Name.Length > 0).Select(s => ("snapshot", $"{s.Name} {Invocation.Size(s.Size)} {s.CreatedAt:u}{(s.State == "ok" ? "" : " " + s.State)}{(s.Clones.Count == 0 ? "" : $" clones: {string.Join(" ", s.Clones)}")}")),
                    .. volume.Uris.Select(uri => ("uri", uri)),
                ]);
        return ExitCode.Ok;
    }

    private static Task<T> AskMapperdAsync<T>(Invocation invocation, Func<ControlClient, Task<T>> ask) => Common.AskHostAsync(invocation, "mapperd", ask, Limit);

    /// <summary>What changes a volume goes to vlmcd, which brings its I/O to rest.</summary>
    private static Task<T> AskChangerAsync<T>(Invocation invocation, Func<ControlClient, Task<T>> ask) => Common.AskHostAsync(invocation, "vlmcd", ask, Limit);

    private static async Task<VlmcdStatus> OpenersAsync(Invocation invocation, CancellationToken cancel)
    {
        try
        {
            return await AskChangerAsync(invocation, c => c.GetAsync("/v1/vlmcd", VlmcdJson.Default.VlmcdStatus, cancel));
        }
        catch (ErrnoException)
        {
            // Without vlmcd nothing is open here.
            return new VlmcdStatus([]);
        }
    }

    private static string EitherOf(Invocation invocation, string argument)
    {
        try
        {
            return VolumeName.Parse(invocation.Argument(argument)).ToString();
        }
        catch (ErrnoException)
        {
            throw new UsageException($"{argument}: expected {VolumeName.ExpectedEither}, found {ConfigError.Quote(invocation.Argument(argument))}");
        }
    }

    private static string SnapshotOf(Invocation invocation, string argument) =>
        EitherOf(invocation, argument) is var name && name.Contains('@') ? name
            : throw new UsageException($"{argument}: expected VOLUME@SNAPSHOT, found {ConfigError.Quote(name)}");

    private static VolumeView View(VolumeInfo v, IReadOnlyList<string> uris, VlmcdStatus open) => new(
        v.Name, v.Size, v.ObjectSize, v.CreatedAt, open.Open.Where(o => o.Name == v.Name).Sum(o => o.Openers), v.State, v.Fault, v.Base,
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
