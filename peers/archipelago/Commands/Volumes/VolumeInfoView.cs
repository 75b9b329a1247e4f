using System.Globalization;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Mapperd.Control;
using Archipelago.Maps;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>Shows a volume or a snapshot with all that is known of it.</summary>
internal static class VolumeInfoView
{
    internal static async Task<int> ShowAsync(Invocation invocation, VolumeName name, CancellationToken cancel)
    {
        var info = await VolumeHosts.DescribeAsync(invocation, name.ToString(), cancel);
        var open = await VolumeHosts.OpenersAsync(invocation, cancel);
        var uris = await VolumeHosts.UrisAsync(invocation);
        var volume = VolumeHosts.View(info, uris, open);
        if (name.Snapshot != null)
        {
            var snapshot = (info.Snapshots ?? []).First(s => s.Name == name.Snapshot);
            var view = new SnapshotView(
                name.ToString(), info.Id, snapshot.Number, snapshot.Parent, snapshot.Size, info.ObjectSize, MapGeometry.ObjectsFor(snapshot.Size, info.ObjectSize), snapshot.CreatedAt,
                snapshot.State, open.Open.Where(o => o.Name == name.ToString()).Sum(o => o.Openers), snapshot.Clones, VolumeHosts.UrisOf(uris, name.ToString()));
            if (invocation.Json) Invocation.WriteJson(view, DaemonJson.Default.SnapshotView);
            else Invocation.WriteFields(Fields(view));
        }
        else if (invocation.Json) Invocation.WriteJson(volume, DaemonJson.Default.VolumeView);
        else Invocation.WriteFields(Fields(volume));

        return ExitCode.Ok;
    }

    internal static string Describe(LockInfo? state) => state switch
    {
        null => "",
        { State: "free" } => "free",
        { State: "unknown" } => $"unknown: {state.Fault}",
        _ => (state.State switch
        {
            "open" => state.Kept ? "this host has it open, and keeps it (`volume lock`)" : "this host has it open",
            "kept" => "kept by this host (`volume lock`)",
            "busy" => "this host is at work on it",
            "lost" => $"LOST while it was open here: what is written to it here fails with ESTALE, close it; now {(state.Owner is null ? "nobody has it" : "it is open on another host")}",
            _ => "another host has it",
        }) + (state.Owner is { } owner ? $": {owner}" : "") + (state.Since is { } since ? $", since {Time(since)}" : "") + (state.Renewed is { } renewed ? $", last sign of life {Time(renewed)}" : "")
            + (state.LeaseSeconds is { } lease ? $", lease {Invocation.Number(lease, "0.#")} s" : "") + (state.Epoch is { } epoch ? $", epoch {epoch}" : ""),
    };

    private static IEnumerable<(string, string)> Fields(VolumeView v) =>
    [
        ("name", v.Name), ("id", v.Id ?? ""), ("size", Bytes(v.Size)), ("object size", Invocation.Size(v.ObjectSize)), ("objects", Invocation.Number(v.Objects ?? 0)),
        ("created", v.CreatedAt is { } at ? Time(at) : ""), ("state", v.Fault is null ? v.State : $"{v.State}: {v.Fault}"),
        ("lock", Describe(v.Lock)), ("openers", $"{Invocation.Number(v.Openers)} on this host"),
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
        ("created", Time(s.CreatedAt)), ("state", s.State), ("openers", $"{Invocation.Number(s.Openers)} on this host"), ("clones", string.Join(" ", s.Clones)),
        .. s.Uris.Select(uri => ("uri", uri)),
    ];

    private static string Line(SnapshotInfo s) =>
        $"{s.Name} {Invocation.Size(s.Size)} {Time(s.CreatedAt)}{(s.State == "ok" ? "" : " " + s.State)}{(s.Clones.Count == 0 ? "" : $" clones: {string.Join(" ", s.Clones)}")}";

    private static string Bytes(ulong size) => $"{Invocation.Size(size)} ({size} bytes)";

    private static string Time(DateTimeOffset at) => at.ToString("u", CultureInfo.InvariantCulture);
}
