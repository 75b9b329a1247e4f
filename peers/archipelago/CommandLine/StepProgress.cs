namespace Archipelago.Cli.CommandLine;

/// <summary>How far work of several steps is; what it is of may not be known.</summary>
internal sealed class StepProgress : IDisposable
{
    private string _step = "";
    private Progress? _progress;

    internal void Report(string step, double done, double of = 0)
    {
        if (step != _step)
        {
            _progress?.Dispose();
            (_step, _progress) = (step, new Progress(step));
        }

        _progress!.Report(done, of);
    }

    public void Dispose() => _progress?.Dispose();
}
