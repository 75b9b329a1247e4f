using System.Text;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Recovery;

namespace Archipelago.Cli.Commands;

/// <summary>`segment …`: looks at the shared memory itself, also when nothing runs.</summary>
internal static class SegmentCommands
{
    internal static IEnumerable<CliCommand> Table(CliOption[] options) =>
    [
        new("segment", "the shared memory"),
        new("segment info", "show sizes, and what the pages are used for") { Options = options, Run = InfoAsync },
        new("segment ports", "show the ports and who serves them")
        {
            Description = ["alive: served. hung: the process holds the kernel lock, but gives no sign of life (SIGSTOP, an endless loop). dead: the process is gone; "
                + "a successor takes over what it had accepted."],
            Options = options,
            Run = PortsAsync,
        },
        new("segment requests", "show the requests that are under way, and those that were kept for inspection") { Options = options, Run = RequestsAsync },
        new("segment fsck", "check the segment's invariants, and repair what can be")
        {
            Description = ["Checks slots, rings, pages and tables against each other, also while peers live, whose work may then show as a finding that is gone at the next check. "
                + "Exit status 1 if there are faults. --repair needs a segment of which no peer lives."],
            Options =
            [
                .. options, new("--repair", null, "Repairs what is repairable: gives back slots and pages that nobody holds; where the port table is damaged the dirty pages get their cache's name back."),
                new("--discard-dirty", null, "With --repair: gives up dirty pages that are in quarantine or whose object has no name. That data is LOST."),
                new("--clear-deaths", null, "Allows peers to be started again after two of them died within seconds of their start ([segment] quick-death)."),
            ],
            Run = FsckAsync,
        },
        new("segment destroy", "remove a segment of which no peer lives")
        {
            Description = ["Refused while a peer lives, and if pages are dirty unless --discard-dirty is said."],
            Options = [Common.State, Common.Segment, Common.Json, new("--discard-dirty", null, "Removes it although the store does not have all of its data. That data is LOST.")],
            Run = DestroyAsync,
        },
    ];

    private static async Task<int> InfoAsync(Invocation invocation, CancellationToken cancel)
    {
        using var segment = Common.Join(invocation);
        using var state = Common.StateOf(invocation);
        var info = SegmentView.Info(segment) with { Memory = await StatusCommand.MemoryAsync(state, segment.DirectoryPath, cancel) };
        if (invocation.Json)
        {
            Invocation.WriteJson(info, DaemonJson.Default.SegmentInfo);
            return ExitCode.Ok;
        }

        Invocation.WriteFields(
            [
                ("directory", info.Directory), ("creation id", info.CreationId), ("size", Invocation.Size(info.Bytes)), ("pages", Invocation.Number(info.Pages)),
                .. info.PagesByState.Select(s => ($"  {s.Key}", $"{Invocation.Number(s.Value)} ({Invocation.Size(s.Value * 4096.0)})")),
                ("dirty pages", Invocation.Number(info.DirtyPages)), ("ports", Invocation.Number(info.Ports)), ("slots per port", Invocation.Number(info.SlotsPerPort)),
                ("flows", Invocation.Number(info.Flows)), ("objects", Invocation.Number(info.Objects)), ("loan epoch", info.Epoch.ToString(System.Globalization.CultureInfo.InvariantCulture)),
                .. info.Memory!.Select(m => ($"in RAM, process {m.Pid}", $"{Invocation.Size(m.ResidentBytes)}, in huge pages {Invocation.Size(m.HugeBytes)}, locked {Invocation.Size(m.LockedBytes)}")),
            ]);
        return ExitCode.Ok;
    }

    private static Task<int> PortsAsync(Invocation invocation, CancellationToken cancel)
    {
        using var segment = Common.Join(invocation);
        var ports = SegmentView.Ports(segment);
        if (invocation.Json) Invocation.WriteJson(ports, DaemonJson.Default.IReadOnlyListPortInfo);
        else WritePorts(ports);
        return Task.FromResult(ExitCode.Ok);
    }

    internal static void WritePorts(IEnumerable<PortInfo> ports) => Invocation.WriteTable(
        [">PORT", "NAME", "STATE", ">PID", "SERVES", ">PAGES", ">REQUESTS", ">ACCEPTED", ">BAD", ">STALE", ">CORRUPT", ">REPLAYED", ">KEPT", ">LIFE"],
        ports.Select(p => (string[])
        [
            Invocation.Number(p.Number), p.Name, p.State, p.Pid.ToString(System.Globalization.CultureInfo.InvariantCulture), p.Routes, Invocation.Number(p.PageShare),
            Invocation.Number(p.SlotsUsed), Invocation.Number(p.Accepted), Invocation.Number(p.BadRequests), Invocation.Number(p.StaleEntries),
            Invocation.Number(p.CorruptEntries), Invocation.Number(p.Replayed), Invocation.Number(p.Kept), Invocation.Number(p.Life),
        ]));

    private static Task<int> RequestsAsync(Invocation invocation, CancellationToken cancel)
    {
        using var segment = Common.Join(invocation);
        var requests = SegmentView.Requests(segment);
        if (invocation.Json) Invocation.WriteJson(requests, DaemonJson.Default.IReadOnlyListRequestInfo);
        else
            Invocation.WriteTable(
                [">SLOT", "STATE", "ISSUER", "HOLDER", "OP", "TARGET", ">OFFSET", ">LENGTH", ">ATTEMPTS", "STATUS", "PATH"],
                requests.Select(r => (string[])
                [
                    $"{r.Slot}/{r.Generation}", r.State, r.Issuer, r.Holder, r.Op, r.Target, $"{r.Offset}", $"{r.Length}", $"{r.Attempts}", r.Status == 0 ? "" : Errno.Name(r.Status), r.Path,
                ]));
        return Task.FromResult(ExitCode.Ok);
    }

    private static Task<int> FsckAsync(Invocation invocation, CancellationToken cancel)
    {
        if (invocation.Has("--discard-dirty") && !invocation.Has("--repair")) throw new UsageException("--discard-dirty: say --repair too");
        using var segment = Common.JoinDamaged(invocation);
        if (invocation.Has("--clear-deaths"))
        {
            Fsck.ClearQuickDeaths(segment);
            Invocation.Note("archipelago: quick deaths are forgotten: peers may start again");
        }

        var report = invocation.Has("--repair") ? Fsck.Repair(segment, invocation.Has("--discard-dirty"), Encoding.UTF8.GetBytes(PeerHost.PortNameOf(ServiceKinds.Cached.Name))) : Fsck.Check(segment);
        var view = new FsckView(
            report.IsClean, report.LivePorts, report.SlotsInUse, report.Repaired,
            [.. report.Findings.Select(f => new FsckLine(f.Kind.ToString(), f.IsFault, f.IsRepairable, f.Text))]);
        if (invocation.Json) Invocation.WriteJson(view, DaemonJson.Default.FsckView);
        else
        {
            if (view.Findings.Count > 0)
                Invocation.WriteTable(["KIND", "FAULT", "REPAIRABLE", "WHAT"], view.Findings.Select(f => (string[])[f.Kind, f.Fault ? "yes" : "no", f.Repairable ? "yes" : "no", f.Text]));
            Invocation.Write($"{(view.Clean ? "clean" : "NOT clean")}: {view.LivePorts} ports served, {view.SlotsInUse} slots in use, {view.Repaired} repaired");
        }

        return Task.FromResult(view.Clean ? ExitCode.Ok : ExitCode.Failed);
    }

    private static Task<int> DestroyAsync(Invocation invocation, CancellationToken cancel)
    {
        string path = Common.SegmentPath(invocation);
        if (!invocation.Has("--discard-dirty")) RefuseDirty(path);
        SegmentOpener.Destroy(path);
        if (invocation.Json) Invocation.WriteJson(new DownReport([], path), DaemonJson.Default.DownReport);
        else Invocation.Write($"segment {path} is removed");
        return Task.FromResult(ExitCode.Ok);
    }

    private static void RefuseDirty(string path)
    {
        long dirty, damaged;
        try
        {
            using var segment = Segment.JoinDamaged(path);
            (dirty, damaged) = (segment.DirtyPages(), segment.DamagedPages());
        }
        catch (Xseg.XsegException e) when (e.Errno is Errno.EPROTO or Errno.EAGAIN)
        {
            throw new ErrnoException(e.Errno, $"{e.Message}. Whether it holds dirty pages cannot be told; say --discard-dirty to remove it all the same", e);
        }

        if (dirty > 0) throw new ErrnoException(Errno.EBUSY, $"{path} holds {dirty} dirty pages that the store does not have; `archipelago up` takes them over, --discard-dirty gives them up");
        if (damaged > 0) throw new ErrnoException(Errno.EUCLEAN, $"{path}: {damaged} entries of its page table are damaged, and what they held may be dirty; look with `archipelago segment fsck`; --discard-dirty gives it up");
    }
}
