using System.Globalization;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;
using Archipelago.Maps;
using Archipelago.Vlmcd.Control;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>Shows a volume or a snapshot with all that is known of it.</summary>
internal static class VolumeInfoView
{
    /// <param name="invocation">The command.</param>
    /// <param name="name">What to show.</param>
    /// <param name="cancel">Ends it.</param>
    /// <param name="closed">Of `volume close`: for what it was open.</param>
    internal static async Task<int> ShowAsync(Invocation invocation, VolumeName name, CancellationToken cancel, string? closed = null)
    {
        var info = await VolumeHosts.DescribeAsync(invocation, name.ToString(), cancel);
        var open = await VolumeHosts.OpenersAsync(invocation, cancel);
        var uris = await VolumeHosts.UrisAsync(invocation);
        var volume = VolumeHosts.View(info, uris, open) with { Closed = closed };
        OpenVolume[] left = [.. open.Open.Where(o => o.Name == name.ToString() && o.Openers > 0)];
        if (name.Snapshot != null)
        {
            var snapshot = (info.Snapshots ?? []).First(s => s.Name == name.Snapshot);
            var view = new SnapshotView(
                name.ToString(), info.Id, snapshot.Number, snapshot.Parent, snapshot.Size, info.ObjectSize, MapGeometry.ObjectsFor(snapshot.Size, info.ObjectSize), snapshot.CreatedAt,
                snapshot.State, left.Sum(o => o.Openers), snapshot.Clones, VolumeHosts.UrisOf(uris, name.ToString()))
            {
                OpenersByCommand = left.Sum(o => o.Own),
                Closed = closed,
            };
            if (invocation.Json) Invocation.WriteJson(view, DaemonJson.Default.SnapshotView);
            else Invocation.WriteFields([.. Fields(view), .. Closing(closed, left)]);
        }
        else if (invocation.Json) Invocation.WriteJson(volume, DaemonJson.Default.VolumeView);
        else Invocation.WriteFields([.. Fields(volume), .. Closing(closed, left)]);

        return ExitCode.Ok;
    }

    /// <summary>What was closed, and what that has left: each open is to be closed.</summary>
    private static (string, string)[] Closing(string? closed, OpenVolume[] left) => closed is null ? [] :
    [
        ("closed", closed switch { "read" => "for reading", "standby" => "for writing (it stood by)", _ => "for writing" }),
        ("still open", left.Length == 0 ? "no" : string.Join("; ", left.Select(o => $"{(o.ReadOnly ? "for reading" : "for writing")}: {Openers(o.Openers, o.Own)}"))),
    ];

    private static string Openers(int all, int byCommand) => $"{Invocation.Number(byCommand)} by `volume open`, {Invocation.Number(all - byCommand)} for clients of gateways";

    private static string OnThisHost(int all, int byCommand) => $"{Invocation.Number(all)} on this host{(all == 0 ? "" : $": {Openers(all, byCommand)}")}";

    private static IEnumerable<(string, string)> Fields(VolumeView v) =>
    [
        ("name", v.Name), ("id", v.Id ?? ""), ("size", Bytes(v.Size)), ("object size", Invocation.Size(v.ObjectSize)), ("objects", Invocation.Number(v.Objects ?? 0)),
        ("created", v.CreatedAt is { } at ? Time(at) : ""), ("state", v.Fault is null ? v.State : $"{v.State}: {v.Fault}"),
        ("lock", LockText.Of(v.Lock)), ("openers", OnThisHost(v.Openers, v.OpenersByCommand)),
        .. v.Base is null ? [] : new[] { ("cloned from", v.Base) },
        .. (v.Snapshots ?? []).Where(s => s.Name.Length > 0).Select(s => ("snapshot", Line(s))),
        .. v.Removal is not { } removal ? [] : new[] { ("removal", $"{removal.Versions} {(removal.Versions == 1 ? "version" : "versions")}, "
            + (removal.Work is { } work ? $"chunk {work.Done} of {work.Of} of the one at hand" : "waiting for clones that share with them, or for the lock")) },
        .. v.Flattening is not { } flatten ? [] : new[] { ("flattening", $"object {Invocation.Number(flatten.Done)} of {Invocation.Number(flatten.Of)}") },
        .. v.Uris.Select(uri => ("uri", uri)),
    ];

    private static IEnumerable<(string, string)> Fields(SnapshotView s) =>
    [
        ("name", s.Name), ("volume's id", s.Id), ("number", Invocation.Number(s.Number, "0")), ("size", Bytes(s.Size)), ("object size", Invocation.Size(s.ObjectSize)), ("objects", Invocation.Number(s.Objects)),
        ("created", Time(s.CreatedAt)), ("state", s.State), ("openers", OnThisHost(s.Openers, s.OpenersByCommand)), ("clones", string.Join(" ", s.Clones)),
        .. s.Uris.Select(uri => ("uri", uri)),
    ];

    private static string Line(SnapshotInfo s) =>
        $"{s.Name} {Invocation.Size(s.Size)} {Time(s.CreatedAt)}{(s.State == "ok" ? "" : " " + s.State)}{(s.Clones.Count == 0 ? "" : $" clones: {string.Join(" ", s.Clones)}")}";

    private static string Bytes(ulong size) => $"{Invocation.Size(size)} ({size} bytes)";

    private static string Time(DateTimeOffset at) => at.ToString("u", CultureInfo.InvariantCulture);
}
