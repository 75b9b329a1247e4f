using System.Diagnostics;
using System.Text;

namespace Archipelago.Cli.Tests;

/// <summary>A program that runs beside the test. What it prints can be read while it runs.</summary>
internal sealed class Background
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);
    private readonly StringBuilder _output = new(), _error = new();
    private readonly string _what;

    internal Background(Process process, string what)
    {
        (Process, _what) = (process, what);
        process.OutputDataReceived += (_, line) => Add(_output, line.Data);
        process.ErrorDataReceived += (_, line) => Add(_error, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    internal Process Process { get; }
    internal bool HasExited => Process.HasExited;
    internal string Output => Text(_output);
    internal string Error => Text(_error);

    /// <summary>Types a line.</summary>
    internal void Type(string line)
    {
        Process.StandardInput.WriteLine(line);
        Process.StandardInput.Flush();
    }

    /// <summary>Waits for the end; throws, with what it has printed, if it does not come.</summary>
    internal Outcome End()
    {
        Process.StandardInput.Close();
        if (!Process.WaitForExit(Limit)) throw new TimeoutException($"{_what} does not end\n{Output}\n{Error}");
        Process.WaitForExit();
        return new Outcome(Process.ExitCode, Output, Error);
    }

    /// <summary>Waits until it has printed a text so many times.</summary>
    internal void WaitForOutput(string text, int times = 1)
    {
        var waited = Stopwatch.StartNew();
        while (Count(Output, text) < times)
        {
            if (waited.Elapsed > Limit) throw new TimeoutException($"{_what} did not print {text} {times} times\n{Output}\n{Error}");
            if (Process.HasExited && Count(Output, text) < times)
            {
                Process.WaitForExit();
                if (Count(Output, text) < times) throw new InvalidOperationException($"{_what} ended with {Process.ExitCode}\n{Output}\n{Error}");
            }

            Thread.Sleep(10);
        }
    }

    private static int Count(string text, string part) => text.Split(part).Length - 1;

    private static void Add(StringBuilder to, string? line)
    {
        lock (to) to.AppendLine(line);
    }

    private static string Text(StringBuilder from)
    {
        lock (from) return from.ToString();
    }
}
