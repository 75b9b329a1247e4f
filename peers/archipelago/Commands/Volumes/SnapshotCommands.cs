using Archipelago.Cli.CommandLine;
using Archipelago.Maps;
using Archipelago.Vlmcd.Control;
using static Archipelago.Cli.Commands.Volumes.VolumeArguments;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>`volume snapshot`, `clone`, `rollback`, `flatten`.</summary>
internal static class SnapshotCommands
{
    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("volume snapshot", "make a snapshot of a volume, also while it is in use")
        {
            Description = ["It holds everything that was answered before. Moves no data, whatever the size. For a file system that need not be repaired freeze it first (`fsfreeze`)."],
            Arguments = [NewSnapshot],
            Options = client,
            Run = SnapshotAsync,
            Examples = ["archipelago volume snapshot vm1@before-upgrade"],
        },
        new("volume clone", "make a volume that begins as a snapshot is")
        {
            Description = ["No data is copied: clone and snapshot share what neither has changed. The snapshot cannot be deleted while it has clones; see `volume flatten`."],
            Arguments = [Snapshot, NewName],
            Options = [.. client, new("--size", "SIZE", "Size of the clone, at least that of the snapshot, which is the default.")],
            Run = CloneAsync,
            Examples = ["archipelago volume clone debian@2026-11 vm1 --size 40G"],
        },
        new("volume rollback", "make a volume what a snapshot of it is")
        {
            Description = ["Refused while the volume is open. Destroys what was written since the last snapshot, and nothing brings that back: make a snapshot first if it may be wanted. Later snapshots stay."],
            Arguments = [Snapshot],
            Options = client,
            Run = RollbackAsync,
        },
        new("volume flatten", "copy what a clone shares, so that it does not need the snapshot any more")
        {
            Description = ["Its user goes on meanwhile. Copies every object that it shares: that takes as long as the store needs for that. Interrupted, what was copied stays; do it again. Refused while the clone has snapshots."],
            Arguments = [Existing],
            Options = client,
            Run = FlattenAsync,
        },
    ];

    private static Task<int> SnapshotAsync(Invocation invocation, CancellationToken cancel)
    {
        var name = SnapshotOf(invocation);
        return ChangeAsync(invocation, name.Volume, new VolumeChange(Snapshot: name.Snapshot), cancel);
    }

    private static Task<int> CloneAsync(Invocation invocation, CancellationToken cancel) =>
        VolumeChangeCommands.MakeAsync(invocation, new VolumeCreate(NewNameOf(invocation), (ulong)invocation.Get("--size", SizeType, 0), From: SnapshotOf(invocation).ToString()), cancel);

    private static Task<int> RollbackAsync(Invocation invocation, CancellationToken cancel)
    {
        var name = SnapshotOf(invocation);
        return ChangeAsync(invocation, name.Volume, new VolumeChange(Rollback: name.Snapshot), cancel);
    }

    private static async Task<int> FlattenAsync(Invocation invocation, CancellationToken cancel)
    {
        string name = NameOf(invocation);
        var work = VolumeHosts.ChangeAsync(invocation, name, new VolumeChange(Flatten: true), cancel, isLong: true);
        using (var progress = new Progress($"flattening {name}"))
        {
            while (await Task.WhenAny(work, Task.Delay(500, cancel)) != work && !cancel.IsCancellationRequested)
                if ((await VolumeHosts.DescribeAsync(invocation, name, cancel)).Flattening is { } at) progress.Report(at.Done, at.Of);
        }

        await work;
        return await VolumeInfoView.ShowAsync(invocation, new VolumeName(name, null), cancel);
    }

    private static async Task<int> ChangeAsync(Invocation invocation, string name, VolumeChange change, CancellationToken cancel)
    {
        await VolumeHosts.ChangeAsync(invocation, name, change, cancel);
        return await VolumeInfoView.ShowAsync(invocation, new VolumeName(name, null), cancel);
    }
}
