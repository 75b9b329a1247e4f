using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Xseg.Memory;

namespace Archipelago.Cli.Commands;

/// <summary>Options that several commands share, and how they find a running process.</summary>
internal static class Common
{
    internal static readonly CliOption State = new(
        "--state", "DIR", "State directory: what runs here, sockets, and by default the data. Default: $ARCHIPELAGO_STATE, else "
            + "~/.local/state/archipelago, or /var/lib/archipelago for root.");

    internal static readonly CliOption Config = new("--config", "FILE", "Configuration file, see `archipelago config example`. Default: $ARCHIPELAGO_CONFIG, else the embedded default.");

    internal static readonly CliOption Set = new("--set", "SECTION.KEY=VALUE", "Sets an option of the configuration; goes over file and environment.", Repeats: true);

    internal static readonly CliOption Json = new("--json", null, "Writes JSON instead of tables.");

    internal static readonly CliOption Segment = new("--segment", "DIR", "Directory of the segment. Default: the one of the state directory.");

    internal static readonly CliOption Socket = new("--socket", "PATH", "Control socket of the process to ask. Default: the processes of the state directory.");

    /// <summary>Prints the names of the volumes, for completion: a function of its script, which asks where the command line says.</summary>
    internal const string VolumeNames = "_archipelago_names";

    /// <summary>The same with the snapshots.</summary>
    internal const string VersionNames = "_archipelago_names --snapshots";

    /// <summary>The snapshots alone.</summary>
    internal const string SnapshotNames = "_archipelago_names --snapshots | grep @";

    /// <summary>What a living process takes at most to answer what it has at hand.</summary>
    internal static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(5);

    internal static StateDirectory StateOf(Invocation invocation) =>
        new(invocation.Get("--state") ?? (Environment.GetEnvironmentVariable("ARCHIPELAGO_STATE") is { Length: > 0 } given ? given : null));

    internal static DaemonConfig ConfigOf(Invocation invocation, StateDirectory state, params IReadOnlyList<PeerKind> hosted) =>
        DaemonConfig.Load(state, invocation.Get("--config") ?? (Environment.GetEnvironmentVariable("ARCHIPELAGO_CONFIG") is { Length: > 0 } file ? file : null), invocation.All("--set"), hosted);

    /// <summary>Joins the segment that the options name.</summary>
    internal static Segment Join(Invocation invocation) => Xseg.Memory.Segment.Join(SegmentPath(invocation));

    /// <summary>As <see cref="Join"/>, also where only fsck should: the state or the lock file may be damaged.</summary>
    internal static Segment JoinDamaged(Invocation invocation) => Xseg.Memory.Segment.JoinDamaged(SegmentPath(invocation));

    internal static string SegmentPath(Invocation invocation) =>
        invocation.Get("--segment") is { } path ? Path.GetFullPath(path) : StateOf(invocation).DefaultSegment;

    /// <summary>What a process says of itself; null if it has just ended (not if the command names its socket).</summary>
    /// <exception cref="ErrnoException">ETIMEDOUT: it is stopped or hung.</exception>
    internal static async Task<StatusReport?> ProbeAsync(Invocation invocation, string socket, TimeSpan limit)
    {
        using var client = new ControlClient(socket) { Timeout = limit };
        try
        {
            return await client.GetAsync("/v1/status", ControlJson.Default.StatusReport);
        }
        catch (ErrnoException e) when (e.Errno == Errno.ENOENT && invocation.Get("--socket") is null)
        {
            // A dead process's announcement.
            return null;
        }
        catch (ErrnoException e) when (e.Errno == Errno.ETIMEDOUT)
        {
            int pid = StateOf(invocation).Announced().FirstOrDefault(p => p.Socket == socket).Pid;
            throw new ErrnoException(
                Errno.ETIMEDOUT, $"the process {(pid > 0 ? $"{pid} " : "")}at {socket} does not answer within {limit.TotalSeconds:0.#} s: it is stopped or hung; see `archipelago status`", e);
        }
    }

    /// <summary>The segment that a process uses; null if it does not say.</summary>
    internal static string? SegmentOf(StatusReport report) => report.Sections["segment"]?["directory"]?.GetValue<string>();

    /// <summary>Asks the process that hosts a peer. Which one that is each must say within <see cref="AnswerLimit"/>: a process that is alive does.</summary>
    /// <exception cref="ErrnoException">ENOENT: no process hosts it. ETIMEDOUT: one that may be it is hung.</exception>
    internal static async Task<T> AskHostAsync<T>(Invocation invocation, string peer, Func<ControlClient, Task<T>> ask, TimeSpan limit)
    {
        bool isGiven = invocation.Get("--socket") is not null;
        ErrnoException? hung = null;
        var hosted = new HashSet<string>(StringComparer.Ordinal);
        foreach (string socket in Sockets(invocation))
        {
            try
            {
                if (await ProbeAsync(invocation, socket, AnswerLimit) is not { } report) continue;
                hosted.UnionWith(report.Sections.Select(section => section.Key));
                if (!report.Sections.ContainsKey(peer)) continue;
            }
            catch (ErrnoException e) when (e.Errno == Errno.ETIMEDOUT)
            {
                hung = e;
                continue;
            }

            using var client = new ControlClient(socket) { Timeout = limit };
            return await ask(client);
        }

        throw hung ?? new ErrnoException(
            Errno.ENOENT,
            isGiven ? $"the process at {invocation.Get("--socket")} does not host {peer}" : WhoHosts(StateOf(invocation).Path, peer, hosted));
    }

    /// <summary>What to do where no process hosts a peer. What serves volumes goes together: if more than one is gone they are started with one command.</summary>
    private static string WhoHosts(string state, string peer, HashSet<string> hosted)
    {
        if (hosted.Count == 0) return $"nothing runs on state directory {state}: start it with `archipelago up`, or say by --state where it runs";
        string[] together = ["mapperd", "vlmcd"];
        string gone = string.Join(' ', together.Contains(peer) ? together.Where(name => !hosted.Contains(name)) : [peer]);
        return $"no process of state directory {state} hosts {peer}: start it with `archipelago run {gone}`; `archipelago status` shows what runs";
    }

    internal static IReadOnlyList<string> Sockets(Invocation invocation) =>
        invocation.Get("--socket") is { } socket ? [Path.GetFullPath(socket)] : [.. StateOf(invocation).Announced().Select(p => p.Socket)];
}
