using System.Diagnostics;

namespace Archipelago.Experiments.Processes;

/// <summary>A program in the background, killed at the latest when this is disposed.</summary>
internal sealed class Daemon : IDisposable
{
    private readonly Process _process;
    private readonly List<string> _errors = [];

    internal Daemon(string program, params IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        try
        {
            _process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new ExperimentException($"{program}: {e.Message}; bench/run.sh installs what is needed");
        }

        _process.ErrorDataReceived += (_, line) =>
        {
            if (line.Data == null) return;
            lock (_errors) _errors.Add(line.Data);
        };
        _process.BeginErrorReadLine();
    }

    /// <summary>Process id. A program that was started through taskset or the like has replaced it.</summary>
    internal int Pid => _process.Id;

    /// <summary>True if it has ended.</summary>
    internal bool HasEnded => _process.HasExited;

    /// <summary>CPU seconds so far.</summary>
    internal double CpuSeconds => Measure.CpuMeter.Of(Pid);

    /// <summary>Sends a line and returns the line that answers it.</summary>
    internal string Ask(string line)
    {
        _process.StandardInput.WriteLine(line);
        _process.StandardInput.Flush();
        return ReadLine();
    }

    /// <summary>Has a serving process do something with volumes; the numbers that it answers.</summary>
    /// <exception cref="ExperimentException">It could not.</exception>
    internal double[] Order(string line)
    {
        string answer = Ask(line);
        return answer.StartsWith("error", StringComparison.Ordinal) ? throw new ExperimentException($"{line}: {answer}")
            : [.. answer.Split(' ').Select(number => double.Parse(number, System.Globalization.CultureInfo.InvariantCulture))];
    }

    /// <summary>Reads a line of its stdout.</summary>
    internal string ReadLine() => _process.StandardOutput.ReadLine() ?? throw Ended();

    /// <summary>Waits until <paramref name="isReady"/>, or throws what the program said when it ended.</summary>
    internal void WaitUntil(Func<bool> isReady, string what)
    {
        var waited = Stopwatch.StartNew();
        while (!isReady())
        {
            if (_process.HasExited) throw Ended();
            if (waited.Elapsed > TimeSpan.FromSeconds(30)) throw new ExperimentException($"{_process.StartInfo.FileName}: {what} did not happen within 30 s: {Errors()}");
            Thread.Sleep(20);
        }
    }

    /// <summary>What it wrote to stderr.</summary>
    internal string Errors()
    {
        lock (_errors) return string.Join(" | ", _errors.TakeLast(8));
    }

    /// <summary>Waits for its end; kills it after <paramref name="limit"/>.</summary>
    internal void WaitForEnd(TimeSpan limit)
    {
        if (!_process.WaitForExit(limit)) _process.Kill();
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
    }

    private ExperimentException Ended()
    {
        _process.WaitForExit(1000);
        return new ExperimentException($"{_process.StartInfo.FileName} ended: {Errors()}");
    }
}
