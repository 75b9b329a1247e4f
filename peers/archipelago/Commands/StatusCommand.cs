using System.Text.Json.Nodes;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;

namespace Archipelago.Cli.Commands;

/// <summary>`status`: what the processes say, and what the segment shows of those that cannot say anything.</summary>
internal static class StatusCommand
{
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(2);

    internal static async Task<int> RunAsync(Invocation invocation, CancellationToken cancel)
    {
        using var state = Common.StateOf(invocation);
        var processes = new List<ProcessInfo>();
        foreach (var (pid, socket) in state.Announced()) processes.Add(await AskAsync(pid, socket, cancel));

        string path = invocation.Get("--segment") is { } given ? Path.GetFullPath(given)
            : processes.Select(p => p.Report is { } report ? Common.SegmentOf(report) : null).FirstOrDefault(p => p is not null) ?? state.DefaultSegment;
        SegmentInfo? segment = null;
        IReadOnlyList<PortInfo> ports = [];
        if (Segment.Exists(path))
        {
            try
            {
                using var joined = Segment.Join(path);
                (segment, ports) = (SegmentView.Info(joined), SegmentView.Ports(joined));
            }
            catch (XsegException e)
            {
                Invocation.Note($"archipelago: {Errno.Name(e.Errno)}: {e.Message}");
            }
        }

        var status = new FullStatus(state.Path, processes.Count > 0, processes, segment, ports);
        if (invocation.Json) Invocation.WriteJson(status, DaemonJson.Default.FullStatus);
        else Show(status);
        return status.Running ? ExitCode.Ok : ExitCode.Failed;
    }

    /// <summary>What the processes of the state directory that serve a segment have of it in RAM; those that do not answer are passed over.</summary>
    internal static async Task<IReadOnlyList<ProcessMemory>> MemoryAsync(StateDirectory state, string segment, CancellationToken cancel)
    {
        var found = new List<ProcessMemory>();
        foreach (var (pid, socket) in state.Announced())
        {
            if ((await AskAsync(pid, socket, cancel)).Report?.Sections["segment"] is not { } section) continue;
            if (section["directory"]?.GetValue<string>() == segment && section["residentBytes"] is not null)
                found.Add(new ProcessMemory(pid, section["residentBytes"]!.GetValue<long>(), section["hugeBytes"]!.GetValue<long>(), section["lockedBytes"]!.GetValue<long>()));
        }

        return found;
    }

    private static async Task<ProcessInfo> AskAsync(int pid, string socket, CancellationToken cancel)
    {
        using var client = new ControlClient(socket) { Timeout = AnswerLimit };
        try
        {
            return new ProcessInfo(pid, socket, await client.GetAsync("/v1/status", ControlJson.Default.StatusReport, cancel), null);
        }
        catch (ErrnoException e)
        {
            return new ProcessInfo(pid, socket, null, $"{e.Symbol}: {e.Message}");
        }
    }

    /// <summary>Clients of the process's gateways; empty if it has none.</summary>
    private static string Clients(StatusReport report)
    {
        var counts = report.Sections.Select(section => (section.Value as JsonObject)?["connections"]?.GetValue<long>()).OfType<long>().ToArray();
        return counts.Length == 0 ? "" : Invocation.Number(counts.Sum());
    }

    /// <summary>What to say where no process lives; with what a former run has left in its segment.</summary>
    internal static string NothingRuns(string state, long? dirtyPages) => dirtyPages is null
        ? $"nothing runs on state directory {state}"
        : $"nothing runs on state directory {state}, but the segment of a former run is there with {Invocation.Count(dirtyPages.Value, "dirty page")}; `archipelago up` takes it over";

    private static bool IsDeadClient(PortInfo port) => port is { Transient: true, State: "dead" };

    private static void Show(FullStatus status)
    {
        if (!status.Running)
            Invocation.Write(NothingRuns(status.State, status.Segment?.DirtyPages));
        else
            Invocation.WriteTable(
                [">PID", "PROCESS", "STATE", ">UPTIME", ">CLIENTS", "PEERS"],
                status.Processes.Select(p => p.Report is { } r
                    ? (string[])[$"{p.Pid}", r.Name, r.State, TimeSpan.FromSeconds(Math.Floor(r.UptimeSeconds)).ToString("c"), Clients(r), string.Join(" ", r.Sections.Where(s => s.Value?["port"] is not null).Select(s => s.Key))]
                    : [$"{p.Pid}", "", p.Error!.StartsWith(nameof(Errno.ETIMEDOUT), StringComparison.Ordinal) ? "hung" : "no answer", "", "", p.Error]));
        if (status.Segment is null) return;
        Invocation.Write("");
        Invocation.Write($"segment {status.Segment.Directory}: {Invocation.Size(status.Segment.Bytes)}, {Invocation.Count(status.Segment.Pages, "page")}, {Invocation.Number(status.Segment.DirtyPages)} dirty");
        var gone = status.Ports.Where(IsDeadClient).ToArray();
        SegmentCommands.WritePorts(status.Ports.Except(gone));
        if (gone.Length > 0) Invocation.Write($"and {gone.Length} {(gone.Length == 1 ? "port of a dead client" : "ports of dead clients")}, freed at the next start of a peer; `archipelago segment ports` lists all");
    }
}
