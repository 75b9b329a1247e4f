using Archipelago.Bench;

namespace Archipelago.Experiments.Measure;

/// <summary>Turns the progress of a run into requests per second, second by second.</summary>
internal sealed class Intervals
{
    private readonly List<(double At, long Requests)> _seen = [(0, 0)];

    /// <summary>To be called by the run, a few times a second.</summary>
    internal void Note(BenchProgress progress)
    {
        if (progress.Phase == BenchPhase.Measuring && progress.Elapsed.TotalSeconds > _seen[^1].At)
            _seen.Add((progress.Elapsed.TotalSeconds, progress.Requests));
    }

    /// <summary>Rate in each whole second.</summary>
    internal List<double> PerSecond()
    {
        var rates = new List<double>();
        for (int second = 0; second + 1 <= _seen[^1].At; second++) rates.Add(At(second + 1) - At(second));
        return rates;
    }

    private double At(double time)
    {
        int after = _seen.FindIndex(point => point.At >= time);
        if (after == 0) return _seen[0].Requests;
        var (from, to) = (_seen[after - 1], _seen[after]);
        return from.Requests + ((time - from.At) / (to.At - from.At) * (to.Requests - from.Requests));
    }
}
