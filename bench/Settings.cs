using System.Globalization;
using Archipelago.Experiments.Measure;

namespace Archipelago.Experiments;

/// <summary>The command line is wrong.</summary>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>What was asked for on the command line.</summary>
internal sealed record Settings(string Name, bool Quick, int? Rounds, double? Seconds, string Results, string Store, string RadosScript, string Only)
{
    /// <summary>Core of the client; servers of all sides get <see cref="ServerCore"/>.</summary>
    internal const int ClientCore = 0;
    /// <summary>Core of the server.</summary>
    internal const int ServerCore = 1;

    internal RoundRunner Runner => new(Rounds ?? (Quick ? 3 : 7));

    /// <summary>Where segments are made: a tmpfs, of huge pages if run.sh could mount one.</summary>
    internal static string Segments { get; private set; } = "/dev/shm";

    /// <summary>Where filed's objects lie that <c>maps</c> measures: RAM, so that it is the code that is measured, unless told otherwise.</summary>
    internal static string Objects { get; private set; } = "/dev/shm";

    /// <summary>The rounds of a cell whose least number is given.</summary>
    internal RoundRunner AtLeast(int least) => new(Rounds ?? (Quick ? 3 : least));

    /// <summary>True if the cell is to be measured: <c>--only</c> names a part of its name.</summary>
    internal bool Wants(string cell) => cell.Contains(Only, StringComparison.Ordinal);

    /// <summary>Length of a run.</summary>
    internal TimeSpan Length(double usual, double quick) => TimeSpan.FromSeconds(Seconds ?? (Quick ? quick : usual));

    internal static Settings Parse(string[] args)
    {
        var (name, quick, rounds, seconds, results, store, script, only) = ("", false, (int?)null, (double?)null, "bench/results", "memstore", "deploy/dev-rados.sh", "");
        for (int i = 0; i < args.Length; i++)
        {
            string Value() => ++i < args.Length ? args[i] : throw new UsageException($"{args[i - 1]}: expected a value");
            switch (args[i])
            {
                case "--quick": quick = true; break;
                case "--rounds": rounds = (int)Number("--rounds", Value(), 1); break;
                case "--seconds": seconds = Number("--seconds", Value(), 0.1); break;
                case "--results": results = Value(); break;
                case "--store": store = Value(); break;
                case "--only": only = Value(); break;
                case "--segments": Segments = Path.GetFullPath(Value()); break;
                case "--filed": Objects = Path.GetFullPath(Value()); break;
                case "--rados": script = Value(); break;
                case var option when option.StartsWith('-'): throw new UsageException($"unknown option {option}");
                case var word when name.Length == 0: name = word; break;
                case var word: throw new UsageException($"one experiment at a time, found '{word}' too");
            }
        }

        if (store is not ("memstore" or "bluestore")) throw new UsageException($"--store: expected memstore or bluestore, found {store}");
        if (Environment.ProcessorCount < 2) throw new UsageException("two cores are needed: client and server are pinned to one each");
        return new Settings(name, quick, rounds, seconds, Path.GetFullPath(results), store, Path.GetFullPath(script), only);
    }

    private static double Number(string option, string text, double least) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && value >= least ? value
            : throw new UsageException($"{option}: expected a number from {least} on, found {text}");
}
