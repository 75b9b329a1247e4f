using System.Diagnostics;

namespace Archipelago.Cli.CommandLine;

/// <summary>How far long work is: one line of standard error that is rewritten, or, where that is no terminal, a line every few seconds.</summary>
internal sealed class Progress(string what, Func<double, string>? show = null) : IDisposable
{
    private static readonly TimeSpan OnTerminal = TimeSpan.FromMilliseconds(200), InLog = TimeSpan.FromSeconds(10);

    private readonly Stopwatch _since = Stopwatch.StartNew();
    private int _width;

    internal void Report(double done, double of)
    {
        if (_since.Elapsed < (Console.IsErrorRedirected ? InLog : OnTerminal)) return;
        _since.Restart();
        string text = of > 0 ? $"{what}: {Shown(done)} of {Shown(of)} ({Invocation.Number(Math.Floor(100 * Math.Min(1, done / of)))} %)" : $"{what}: {Shown(done)}";
        if (Console.IsErrorRedirected)
        {
            Invocation.Note(text);
            return;
        }

        Console.Error.Write("\r" + text.PadRight(_width));
        _width = text.Length;
    }

    private string Shown(double value) => show?.Invoke(value) ?? Invocation.Number(value);

    /// <summary>Leaves an empty line where it was.</summary>
    public void Dispose()
    {
        if (_width > 0) Console.Error.Write($"\r{new string(' ', _width)}\r");
    }
}
