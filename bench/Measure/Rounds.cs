namespace Archipelago.Experiments.Measure;

/// <summary>What one run of one side gave: figures by name, such as "rate" (requests per second).</summary>
internal sealed class Figures : Dictionary<string, double>
{
    internal Figures() : base(StringComparer.Ordinal)
    {
    }
}

/// <summary>One side of a comparison: its name, and how to run it once.</summary>
internal sealed record Side(string Name, Func<Figures> Run);

/// <summary>The valid runs of all sides of one cell, round by round.</summary>
internal sealed class Series(string cell, IReadOnlyList<string> sides)
{
    internal string Cell => cell;
    internal IReadOnlyList<string> Sides => sides;
    /// <summary>Rounds; each holds one run of every side.</summary>
    internal List<Dictionary<string, Figures>> Rounds { get; } = [];
    /// <summary>Cores that others used during each round, at most.</summary>
    internal List<double> Others { get; } = [];
    /// <summary>Rounds that were thrown away because others used the machine.</summary>
    internal int Void { get; set; }
    /// <summary>True if a round counts although others used the machine.</summary>
    internal bool IsNoisy => Others.Any(others => others > CpuMeter.Limit);

    /// <summary>A figure of one side over the rounds.</summary>
    internal IEnumerable<double> Of(string side, string figure) => Rounds.Select(round => round[side][figure]);

    /// <summary>True if the side has the figure.</summary>
    internal bool Has(string side, string figure) => Rounds.Count > 0 && Rounds[0][side].ContainsKey(figure);

    /// <summary>Median and quartiles of the rounds' ratios of two sides.</summary>
    internal Quartiles Ratio(string side, string toSide, string figure) => Ratio(side, figure, toSide, figure);

    /// <summary>Median and quartiles of the rounds' ratios of two figures.</summary>
    internal Quartiles Ratio(string side, string figure, string toSide, string toFigure) =>
        Quartiles.Of(Rounds.Select(round => round[side][figure] / round[toSide][toFigure]));
}

/// <summary>
/// Runs the sides of a comparison in turn, rotated from round to round. A round in which others used more than
/// <see cref="CpuMeter.Limit"/> cores is void and repeated, up to <see cref="MaxVoid"/> times the rounds; after that, and with
/// BENCH_ALLOW_NOISE=1 at once, noisy rounds count and are marked.
/// </summary>
internal sealed class RoundRunner(int rounds)
{
    private const int MaxVoid = 3;

    private static readonly bool AllowNoise = Environment.GetEnvironmentVariable("BENCH_ALLOW_NOISE") == "1";

    /// <summary>Rounds per cell.</summary>
    internal int Rounds => rounds;

    internal Series Run(string cell, params Side[] sides)
    {
        var series = new Series(cell, [.. sides.Select(side => side.Name)]);
        while (series.Rounds.Count < rounds)
        {
            var round = new Dictionary<string, Figures>(StringComparer.Ordinal);
            double others = 0;
            for (int i = 0; i < sides.Length; i++)
            {
                var side = sides[(i + series.Rounds.Count) % sides.Length];
                var meter = new CpuMeter();
                round[side.Name] = side.Run();
                others = Math.Max(others, meter.Others());
            }

            if (others > CpuMeter.Limit && !AllowNoise && series.Void < MaxVoid * rounds)
            {
                series.Void++;
                Console.Error.WriteLine($"  {cell}: others used {others:0.00} cores; the round is void");
                continue;
            }

            series.Rounds.Add(round);
            series.Others.Add(others);
        }

        // Not every cell is about rates.
        string rates = string.Join(", ", sides.Where(side => series.Has(side.Name, "rate")).Select(side => $"{side.Name} {Units.Rate(Quartiles.Of(series.Of(side.Name, "rate")).Median)}"));
        Console.WriteLine($"  {cell}: {(rates.Length > 0 ? rates : "done")}"
            + $" ({series.Rounds.Count} rounds, {series.Void} void, others {series.Others.Max():0.00} cores{(series.IsNoisy ? ", NOISY" : "")})");
        return series;
    }
}
