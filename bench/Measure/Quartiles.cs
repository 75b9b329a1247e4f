namespace Archipelago.Experiments.Measure;

/// <summary>Median and quartiles of a series, by linear interpolation.</summary>
internal readonly record struct Quartiles(double Lower, double Median, double Upper)
{
    internal static Quartiles Of(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? default : new Quartiles(At(sorted, 0.25), At(sorted, 0.5), At(sorted, 0.75));
    }

    /// <summary>The value below which <paramref name="share"/> (0 to 1) of the series lies.</summary>
    internal static double Percentile(IEnumerable<double> values, double share) => At([.. values.Order()], share);

    private static double At(double[] sorted, double share)
    {
        double place = share * (sorted.Length - 1);
        int below = (int)place;
        return below + 1 >= sorted.Length ? sorted[^1] : sorted[below] + ((place - below) * (sorted[below + 1] - sorted[below]));
    }
}
