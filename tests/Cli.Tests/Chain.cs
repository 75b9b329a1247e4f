using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace Archipelago.Cli.Tests;

/// <summary>How a command ended.</summary>
internal sealed record Outcome(int Code, string Output, string Error)
{
    internal JsonElement Json => JsonDocument.Parse(Output).RootElement;

    internal Outcome Good() => Code == 0 ? this : throw new InvalidOperationException($"exit status {Code}\n{Output}\n{Error}");
}

/// <summary>A state directory with the real executable. What a test leaves running is killed, by pid, and its segment removed.</summary>
internal sealed partial class Chain : IDisposable
{
    internal const int SigKill = 9, SigTerm = 15, SigContinue = 18, SigStop = 19;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);
    private readonly List<Process> _started = [];
    private readonly List<int> _unreaped = [];
    private readonly StringBuilder _log = new();

    /// <summary>Small enough to be made at once.</summary>
    internal static readonly string[] Small = ["--set", "segment.spare=4096", "--set", "cached.size=32M", "--set", "up.first-volume-size=64M"];

    internal static string Executable { get; } = Path.Combine(AppContext.BaseDirectory, "archipelago");

    /// <summary>Two quick deaths stop restarts, as in production; most tests kill more than that.</summary>
    internal bool CountsQuickDeaths { get; init; }

    internal string Root { get; } = Directory.CreateTempSubdirectory("ac-").FullName;
    internal string State => Path.Combine(Root, "s");
    internal string Segment => new Daemon.StateDirectory(State).DefaultSegment;
    internal string Uri(string volume) => $"nbd+unix:///{volume}?socket={State}/nbd.sock";

    /// <summary>What the processes that were started have written so far.</summary>
    internal string Log
    {
        get
        {
            lock (_log) return _log.ToString();
        }
    }

    internal string Write(string name, string text)
    {
        string path = Path.Combine(Root, name);
        File.WriteAllText(path, text);
        return path;
    }

    /// <summary>Runs a command to its end.</summary>
    internal Outcome Run(params string[] arguments) => Execute(Executable, arguments);

    internal Outcome Execute(string program, params string[] arguments)
    {
        using var process = Process.Start(StartInfo(program, arguments))!;
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(Limit))
        {
            process.Kill();
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} did not end\n{Log}");
        }

        return new Outcome(process.ExitCode, output.Result, error.Result);
    }

    /// <summary>Starts a process that goes on, and waits until it says that it runs.</summary>
    internal Process Start(params string[] arguments) => StartProgram(Executable, arguments);

    /// <summary>As <see cref="Start"/>, by a program that becomes the executable.</summary>
    internal Process StartProgram(string program, params string[] arguments)
    {
        var process = Process.Start(StartInfo(program, arguments))!;
        _started.Add(process);
        process.OutputDataReceived += (_, line) => Add(line.Data);
        process.ErrorDataReceived += (_, line) => Add(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        WaitFor(() => process.HasExited || File.Exists(Path.Combine(State, $"process.{process.Id}")), $"the start of {string.Join(' ', arguments)}");
        return process.HasExited ? throw new InvalidOperationException($"{string.Join(' ', arguments)} ended with {process.ExitCode}\n{Log}") : process;
    }

    /// <summary>As <see cref="Start"/>, by a parent that never waits for its child, as in some containers: dead, it stays a zombie. Returns its pid.</summary>
    internal int StartUnreaped(params string[] arguments)
    {
        string[] Announced() => Directory.Exists(State) ? Directory.GetFiles(State, "process.*") : [];
        string[] before = Announced();
        _started.Add(Process.Start(StartInfo("/bin/sh", ["-c", "\"$0\" \"$@\" & echo $! >\"$STARTED\"; exec sleep 600", Executable, .. arguments]))!);
        string started = Path.Combine(Root, "started");
        WaitFor(() => File.Exists(started) && File.ReadAllText(started).EndsWith('\n'), "the shell");
        int pid = int.Parse(File.ReadAllText(started), System.Globalization.CultureInfo.InvariantCulture);
        File.Delete(started);
        _unreaped.Add(pid);
        WaitFor(() => Announced().Except(before).Any(file => file.EndsWith($".{pid}", StringComparison.Ordinal)), $"the start of {string.Join(' ', arguments)}");
        return pid;
    }

    /// <summary>Kills such a process, and waits until only its entry in the process table is left.</summary>
    internal void KillUnreaped(int pid)
    {
        _ = kill(pid, SigKill);
        // Its threads end one by one; the kernel lists those that live.
        WaitFor(() => File.ReadAllText($"/proc/{pid}/stat").Split(')')[^1].TrimStart().StartsWith('Z') && Directory.GetDirectories($"/proc/{pid}/task").Length == 1, "the end of the killed process");
        _unreaped.Remove(pid);
    }

    internal void WaitFor(Func<bool> condition, string what)
    {
        var waited = Stopwatch.StartNew();
        while (!condition())
        {
            if (waited.Elapsed > Limit) throw new TimeoutException($"waited for {what}\n{Log}");
            Thread.Sleep(20);
        }
    }

    /// <summary>Waits until a process has written a text: what it writes arrives later than the file by which it says that it runs.</summary>
    internal void WaitForLog(string text) => WaitFor(() => Log.Contains(text, StringComparison.Ordinal), $"the log to say '{text}'");

    internal static void Signal(Process process, int signal) => _ = kill(process.Id, signal);

    internal Outcome Fio(string volume, params string[] more) => Execute("fio", FioArguments(volume, more));

    private string[] FioArguments(string volume, string[] more) =>
        ["--name=v", "--ioengine=nbd", $"--uri={Uri(volume)}", "--bs=4k", "--size=8m", "--iodepth=8", "--verify=crc32c", "--verify_state_save=0", "--output-format=terse", .. more];

    public void Dispose()
    {
        foreach (int pid in _unreaped) _ = kill(pid, SigKill);
        foreach (var process in _started)
        {
            if (!process.HasExited) process.Kill();
            process.WaitForExit();
            process.Dispose();
        }

        if (Xseg.Memory.Segment.Exists(Segment)) Xseg.Memory.Segment.Destroy(Segment);
        if (Directory.Exists(Segment)) Directory.Delete(Segment, recursive: true);
        Directory.Delete(Root, recursive: true);
    }

    private void Add(string? line)
    {
        lock (_log) _log.AppendLine(line);
    }

    private ProcessStartInfo StartInfo(string program, string[] arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, WorkingDirectory = Root };
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        start.Environment["ARCHIPELAGO_STATE"] = State;
        start.Environment["STARTED"] = Path.Combine(Root, "started");
        if (!CountsQuickDeaths) start.Environment["ARCHIPELAGO_SEGMENT_QUICK_DEATH"] = "0";
        return start;
    }

    [LibraryImport("libc")]
    private static partial int kill(int process, int signal);
}
