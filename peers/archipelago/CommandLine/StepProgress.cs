namespace Archipelago.Cli.CommandLine;

/// <summary>How far work of several steps is, of which nobody knows how long each takes.</summary>
internal sealed class StepProgress : IDisposable
{
    private string _step = "";
    private Progress? _progress;

    internal void Report(string step, double count)
    {
        if (step != _step)
        {
            _progress?.Dispose();
            (_step, _progress) = (step, new Progress(step));
        }

        _progress!.Report(count, 0);
    }

    public void Dispose() => _progress?.Dispose();
}
