using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Filed;
using Archipelago.Mapperd.Control;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Vlmcd.Control;
using static Archipelago.Cli.Commands.Volumes.VolumeArguments;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>`volume open`, `close`, `lock`, `unlock`.</summary>
internal static class LockCommands
{
    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("volume open", "open a volume or snapshot on this host without a client")
        {
            Description =
            [
                "For writing: the exclusive lock of the volume is taken for this host, and its map is kept ready, so that a guest that comes later (at the end of a live migration, say) finds "
                    + "it open. It stays open until `volume close`, or until vlmcd ends; clients may come and go meanwhile. Refused (EBUSY) while another host has it.",
                "Opens are counted: what is opened twice is open until it is closed twice. `volume info` shows how often it is open, and for whom.",
                "Snapshots are opened for reading, by as many hosts as want.",
                "To move a running VM (on files both hosts need `filed.shared = true`, and a directory on a file system that both have): here `volume open NAME --standby` and start the VM as the migration's target; migrate; end the VM on the other host (and what `volume open` opened there: "
                    + "`volume close NAME`); the guest goes on here.",
            ],
            Arguments = [Either],
            Examples = ["archipelago volume open vm1", "archipelago volume open vm1 --standby"],
            Options =
            [
                .. client, new("--read-only", null, "Only for reading: without the lock, beside another host that writes. What that host writes shows late or not at all."),
                new("--standby", null, "For live migration. Where another host has it: stand by. Reads work, uncached; changes wait. The first request that comes here after that host has closed it takes it over."),
            ],
            Run = OpenAsync,
        },
        new("volume close", "end what `volume open` has begun")
        {
            Description =
            [
                "Ends one open: of what was opened several times the others stay, and the line `still open` says what is left. A volume that is open for writing and for reading is closed for writing first; "
                    + "the line `closed` says which it was. The last close makes everything stable and gives the lock back.",
                "What clients of gateways have open they close themselves: EBUSY. Also ends what a vlmcd that died has left open. EINVAL: it is not open here. ESTALE: another host has taken it over.",
            ],
            Arguments = [Either],
            Options = client,
            Run = CloseAsync,
        },
        new("volume lock", "take the exclusive lock of a volume, and keep it on this host")
        {
            Description =
            [
                "No other host can open the volume for writing then, delete it, snapshot it or resize it, whether anybody here has it open or not. The lock is kept, and its lease renewed, until "
                    + "`volume unlock` or until mapperd ends. EBUSY: another host has it.",
            ],
            Arguments = [Existing],
            Options = client,
            Run = LockAsync,
        },
        new("volume unlock", "give back the lock of a volume, or break another host's")
        {
            Description =
            [
                "Without --force: ends `volume lock`. Clients that have the volume open keep its lock until they go.",
                "With --force the lock is taken from the host that has it, whatever it is doing. That host is fenced first: each write that it still sends fails with ESTALE, its guests see I/O errors, and "
                    + "what they had written and not flushed is lost. On RADOS that holds even if the host hangs and wakes up later, and other volumes that it has open go on; on filed the process that holds it is killed, if it is one of this machine: "
                    + "every volume that it served stops there, and the command says which process it was; for another machine there is nothing but the lease: make sure that it is dead.",
            ],
            Arguments = [Existing],
            Options = [.. client, new("--force", null, "Break the lock of another host.")],
            Run = UnlockAsync,
            Examples = ["archipelago volume info vm1", "archipelago volume unlock vm1 --force"],
        },
    ];

    private static async Task<int> OpenAsync(Invocation invocation, CancellationToken cancel)
    {
        var name = EitherOf(invocation);
        bool readOnly = invocation.Has("--read-only") || name.Snapshot != null;
        if (readOnly && invocation.Has("--standby")) throw new UsageException("--standby: stands by to write; what is only read needs none");
        await VolumeHosts.ChangeAsync(invocation, name.ToString(), new VolumeChange(Open: readOnly ? "read" : invocation.Has("--standby") ? "standby" : "write"), cancel);
        return await VolumeInfoView.ShowAsync(invocation, name, cancel);
    }

    private static async Task<int> CloseAsync(Invocation invocation, CancellationToken cancel)
    {
        var name = EitherOf(invocation);
        var state = await VolumeHosts.ChangeAsync(invocation, name.ToString(), new VolumeChange(Close: true), cancel);
        return await VolumeInfoView.ShowAsync(invocation, name, cancel, state.Closed ?? "write");
    }

    private static async Task<int> LockAsync(Invocation invocation, CancellationToken cancel)
    {
        string name = NameOf(invocation);
        var taken = await VolumeHosts.AskMapperdAsync(
            invocation, c => c.PostAsync($"/v1/volumes/{name}/lock", Nothing.Value, ControlJson.Default.Nothing, MapperdJson.Default.LockInfo, cancel));
        return Show(invocation, name, taken, $"volume {name}: {LockText.Of(taken)}");
    }

    private static async Task<int> UnlockAsync(Invocation invocation, CancellationToken cancel)
    {
        string name = NameOf(invocation);
        bool force = invocation.Has("--force");
        var before = (await VolumeHosts.DescribeAsync(invocation, name, cancel)).Lock;
        if (force && before?.State == "free") throw new ErrnoException(Errno.EINVAL, $"volume {name} is not locked: there is nothing to break");
        int? killed = force && before?.Address is { } address ? FiledProcess.AliveAt(address) : null;
        var after = await VolumeHosts.AskMapperdAsync(
            invocation, c => c.DeleteAsync($"/v1/volumes/{name}/lock{(force ? "?force=true" : "")}", MapperdJson.Default.LockInfo, cancel));
        return Show(
            invocation, name, after,
            force ? $"volume {name}: the lock is broken; it was: {LockText.Of(before)}. {Killed(killed)}Whatever that host still writes to the volume fails with ESTALE, and what its guests had not flushed is lost. Now: {LockText.Of(after)}"
                : $"volume {name}: {LockText.Of(after)}",
            killed);
    }

    private static string Killed(int? process) =>
        process is null ? "" : $"Process {process} of this machine, which wrote under it, was killed: every volume that it served stops there. ";

    private static int Show(Invocation invocation, string name, LockInfo state, string text, int? killed = null)
    {
        if (invocation.Json) Invocation.WriteJson(LockView.Of(name, state, killed), DaemonJson.Default.LockView);
        else Invocation.Write(text);
        return ExitCode.Ok;
    }
}
