using System.Diagnostics;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Control;
using Archipelago.Mapperd.Control;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Spectre.Console;

namespace Archipelago.Cli.Commands;

/// <summary>`up`, `run`, `down`.</summary>
internal static class DaemonCommands
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan EndLimit = TimeSpan.FromSeconds(30);

    private static readonly CliOption Detach = new(
        "--detach", null, "Returns once everything runs, and leaves it in the background; its log is in the state directory.");

    internal static IEnumerable<CliCommand> Table(CliOption[] shared) =>
    [
        new("up", "start everything in one process")
        {
            Description =
            [
                "Starts the peers of the configuration, from the store up, on one thread. Without a configuration: objects in files below the state directory, "
                    + "a write-back cache of 256 MiB (safe until first flush), volumes, and an NBD server on a Unix socket, with a first volume `demo` of 1 GiB; and says how to attach.",
                "SIGTERM, SIGINT and `archipelago down` end it in order: all data is made stable first, then the peers stop from the gateway down. "
                    + "After kill -9 or a crash the next start takes over the segment with all that was acknowledged.",
                "A second `up` on the same state directory is refused.",
            ],
            Options = [.. shared, Detach, Common.Json],
            Examples = ["archipelago up", "archipelago up --config /etc/archipelago.conf --detach", "archipelago up --set cached.size=4G --set reactor.core=1"],
            Run = UpAsync,
        },
        new("run", "host some of the peers in this process")
        {
            Description = ["Hosts the named peers, with their sections of the configuration; the rest of the chain may run in other processes, which use the same "
                + "state directory and configuration. Each can be stopped and started by itself: requests wait for it."],
            Arguments = [new("PEER", "Peers to host.", Repeats: true, Words: [.. PeerCatalogue.Names])],
            Options = shared,
            Examples = ["archipelago run filed cached", "archipelago run mapperd vlmcd nbd"],
            Run = RunAsync,
        },
        new("down", "stop in order")
        {
            Description = ["Makes all data stable, stops the peers from the gateway down, and removes the segment. If the data cannot be made stable, or a peer that is needed "
                + "for it is dead or does not answer, it is refused, and everything goes on as before."],
            Options =
            [
                Common.State, Common.Socket, Common.Json,
                new("--keep-segment", null, "Leaves the segment, with its cached data, for the next start."),
                new("--discard-dirty", null, "Does not wait for anything: ends the processes and removes the segment with the data in it that the store does not have, also that of a former run. That data is LOST."),
                new("--timeout", "DURATION", "How long the command may take. Default: the data may take the option drain-timeout of [up] to become stable, the end as long as it takes."),
            ],
            Run = DownAsync,
        },
    ];

    private static async Task<int> UpAsync(Invocation invocation, CancellationToken cancel)
    {
        using var state = Common.StateOf(invocation);
        var config = Common.ConfigOf(invocation, state);
        if (config.Enabled.Count == 0) throw new UsageException("the configuration starts no peer; add sections such as [filed], [cached], [mapperd], [vlmcd] and [nbd] (`archipelago config example`)");
        config.RefuseUnservedRoutes();
        if (invocation.Has("--detach")) return await DetachAsync(invocation, config, state, cancel);
        var process = new PeerProcess(config, DaemonConfig.UpName, config.Enabled, standsAlone: true) { GreetsInJson = invocation.Json };
        state.Take(alone: true);
        return await process.RunAsync();
    }

    private static async Task<int> RunAsync(Invocation invocation, CancellationToken cancel)
    {
        using var state = Common.StateOf(invocation);
        var kinds = PeerCatalogue.Named(invocation.Arguments("PEER"));
        var config = Common.ConfigOf(invocation, state, kinds);
        var process = new PeerProcess(config, string.Join('+', kinds.Select(k => k.Name)), kinds, standsAlone: false);
        state.Take(alone: false);
        return await process.RunAsync();
    }

    private static async Task<int> DetachAsync(Invocation invocation, DaemonConfig config, StateDirectory state, CancellationToken cancel)
    {
        // Made and found to be free here, where the user looks; the child takes it.
        using (var taken = new StateDirectory(state.Path)) taken.Take(alone: true);
        long logStart = File.Exists(state.LogPath) ? new FileInfo(state.LogPath).Length : 0;
        string[] command = Environment.GetCommandLineArgs();
        string self = Environment.ProcessPath!;
        bool hosted = Path.GetFileNameWithoutExtension(self) == "dotnet";
        var start = new ProcessStartInfo("/bin/sh");
        foreach (string argument in (string[])["-c", "log=$1; shift; exec setsid \"$@\" >>\"$log\" 2>&1 </dev/null", "archipelago", state.LogPath, self])
            start.ArgumentList.Add(argument);
        foreach (string argument in (hosted ? command : command[1..]).Where(a => a != "--detach")) start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        var waited = Stopwatch.StartNew();
        while (true)
        {
            await Task.Delay(50, cancel);
            if (process.HasExited)
            {
                // In its own words, the last of which say what is wrong.
                Invocation.Note($"{LogSince(state.LogPath, logStart)}\narchipelago: the process ended; this is its log, {state.LogPath}");
                return process.ExitCode == 0 ? ExitCode.Failed : process.ExitCode;
            }

            if (waited.Elapsed > StartLimit)
                throw new ErrnoException(Errno.ETIMEDOUT, $"process {process.Id} is not ready yet, and goes on; its log, {state.LogPath}, says:\n{LogSince(state.LogPath, logStart)}");

            // It says where it answers once all is ready.
            if (state.Announced().FirstOrDefault(p => p.Pid == process.Id) is not { Pid: > 0 } running) continue;
            var report = new UpReport(process.Id, running.Socket, config.State.Path, config.SegmentPath, state.LogPath, await VolumesAsync(config, running.Socket, cancel));
            if (invocation.Json) Invocation.WriteJson(report, DaemonJson.Default.UpReport);
            else
            {
                Greeting.Print(report);
                Invocation.Write($"It runs in the background: process {process.Id}, log {state.LogPath}");
            }

            return ExitCode.Ok;
        }
    }

    /// <summary>The text of a log from byte <paramref name="start"/> on.</summary>
    private static string LogSince(string path, long start)
    {
        if (!File.Exists(path)) return "";
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        file.Position = Math.Min(start, file.Length);
        return new StreamReader(file).ReadToEnd().TrimEnd();
    }

    private static async Task<IReadOnlyList<VolumeUris>> VolumesAsync(DaemonConfig config, string socket, CancellationToken cancel)
    {
        if (config.Enabled.All(k => k.Name != "mapperd")) return [];
        using var client = new ControlClient(socket) { Timeout = Common.AnswerLimit };
        try
        {
            var list = await client.GetAsync("/v1/volumes", MapperdJson.Default.VolumeList, cancel);
            return [.. list.Volumes.Select(v => new VolumeUris(v.Name, Greeting.Uris(config, v.Name)))];
        }
        catch (ErrnoException e) when (e.Errno == Errno.ETIMEDOUT)
        {
            // The store does not answer; the log says so.
            return [];
        }
    }

    private static async Task<int> DownAsync(Invocation invocation, CancellationToken cancel)
    {
        using var state = Common.StateOf(invocation);
        bool discard = invocation.Has("--discard-dirty");
        var limit = invocation.Get("--timeout", new DurationType(TimeSpan.FromMilliseconds(100), TimeSpan.FromDays(1)), TimeSpan.Zero);
        var request = new StopRequest(discard, invocation.Has("--keep-segment"), null);
        var deadline = new DownDeadline(limit);
        var processes = await ProcessesAsync(invocation, deadline);
        string segment = state.DefaultSegment;
        string? removed = null;
        var ended = new List<EndedProcess>();
        if (processes.Count == 0) RefuseNothingRuns(invocation, state, segment, discard);
        // All of them before the first is stopped; one alone asks itself.
        if (!discard && processes.Count > 1)
            foreach (var (pid, socket, _) in processes)
                await deadline.RunAsync(pid, false, end => StopOneAsync(socket, request with { CheckOnly = true, TimeoutSeconds = deadline.SecondsLeft }, end), cancel);
        foreach (var (pid, socket, report) in processes)
        {
            if (Common.SegmentOf(report) is { } path) segment = path;
            await deadline.RunAsync(pid, true, end => StopOneAsync(socket, request with { TimeoutSeconds = deadline.SecondsLeft }, end), cancel);
            await deadline.RunAsync(pid, true, end => WaitForEndAsync(pid, end), cancel);
            ended.Add(new EndedProcess(pid, report.Name));
            if (!invocation.Json) Invocation.Write($"process {pid} ({report.Name}) has ended");
        }

        if (processes.Count > 0 && !Segment.Exists(segment)) removed = segment;
        if (discard && !request.KeepSegment && Segment.Exists(segment))
        {
            await DestroyAsync(segment, cancel);
            removed = segment;
            if (!invocation.Json) Invocation.Write($"segment {segment} is removed");
        }

        if (invocation.Json) Invocation.WriteJson(new DownReport(ended, removed), DaemonJson.Default.DownReport);
        return ExitCode.Ok;
    }

    /// <summary>Nothing is there to be stopped. What a former run has left is removed only if its loss is asked for by name.</summary>
    private static void RefuseNothingRuns(Invocation invocation, StateDirectory state, string path, bool discard)
    {
        long? dirty = null;
        if (Segment.Exists(path))
        {
            if (discard && !invocation.Has("--keep-segment")) return;
            using var segment = Segment.Join(path);
            dirty = segment.DirtyPages();
        }

        if (state.Holder() is { } starting)
            throw new ErrnoException(Errno.EAGAIN, $"process {starting} of state directory {state.Path} is still starting; try again, or end it: kill {starting}");
        throw new ErrnoException(Errno.ENOENT, StatusCommand.NothingRuns(state.Path, dirty) + (dirty is null ? "" : ", `archipelago down --discard-dirty` removes it"));
    }

    /// <summary>The processes, from the gateway down.</summary>
    /// <exception cref="ErrnoException">ETIMEDOUT: one of them is stopped or hung.</exception>
    private static async Task<IReadOnlyList<(int Pid, string Socket, StatusReport Report)>> ProcessesAsync(Invocation invocation, DownDeadline deadline)
    {
        var found = new List<(int Pid, string Socket, StatusReport Report, int Rank)>();
        foreach (string socket in Common.Sockets(invocation))
        {
            try
            {
                if (await Common.ProbeAsync(invocation, socket, deadline.Left ?? Common.AnswerLimit) is not { } report) continue;
                int rank = PeerCatalogue.Kinds.Select((kind, at) => report.Sections.ContainsKey(kind.Name) ? at : -1).Max();
                found.Add((report.Pid, socket, report, rank));
            }
            catch (ErrnoException e) when (e.Errno == Errno.ETIMEDOUT)
            {
                throw new ErrnoException(e.Errno, $"{e.Message}; nothing was stopped", e);
            }
        }

        return [.. found.OrderByDescending(p => p.Rank).Select(p => (p.Pid, p.Socket, p.Report))];
    }

    private static async Task StopOneAsync(string socket, StopRequest request, CancellationToken cancel)
    {
        using var client = new ControlClient(socket) { Timeout = TimeSpan.FromMinutes(5) };
        async Task Follow(Action<string> tell, bool everyPoll)
        {
            string last = "";
            await foreach (var step in client.StreamAsync("/v1/stop", request, DaemonJson.Default.StopRequest, DaemonJson.Default.StopStep, cancel))
            {
                if (step.Message == last && !everyPoll) continue;
                last = step.Message;
                tell(step.DirtyPages > 0 ? $"{step.Message}: {Invocation.Size(step.DirtyPages * 4096.0)} dirty" : step.Message);
            }
        }

        try
        {
            if (Console.IsErrorRedirected) await Follow(Invocation.Note, everyPoll: false);
            else await Invocation.Terminal(error: true).Status().StartAsync("stopping", status => Follow(text => status.Status(Markup.Escape(text)), everyPoll: true));
        }
        catch (ErrnoException e) when (request.DiscardDirty && e.Errno == Errno.ECONNRESET)
        {
            // It left without a word, as it was told to.
        }
    }

    private static async Task WaitForEndAsync(int pid, CancellationToken cancel)
    {
        var waited = Stopwatch.StartNew();
        while (Directory.Exists($"/proc/{pid}") && !IsZombie(pid))
        {
            if (waited.Elapsed > EndLimit) throw new ErrnoException(Errno.ETIMEDOUT, $"process {pid} stopped its peers but does not end; see its log");
            await Task.Delay(20, cancel);
        }
    }

    /// <summary>The kernel locks go with the last thread of the process, which may be a moment after the process looks ended.</summary>
    private static async Task DestroyAsync(string segment, CancellationToken cancel)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                SegmentOpener.Destroy(segment);
                return;
            }
            catch (XsegException e) when (e.Errno == Errno.EBUSY && waited.Elapsed < EndLimit)
            {
                await Task.Delay(20, cancel);
            }
        }
    }

    private static bool IsZombie(int pid)
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            return stat[(stat.LastIndexOf(')') + 2)..].StartsWith('Z');
        }
        catch (IOException)
        {
            return true;
        }
    }
}
