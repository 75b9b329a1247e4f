using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Archipelago.Experiments.Measure;

/// <summary>One figure of an experiment, with its aim if it has one.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Value">Median and quartiles.</param>
/// <param name="Unit">Unit; "×" for ratios.</param>
/// <param name="Aim">Bound; null for a figure that is shown only.</param>
/// <param name="AtMost">True if the aim is an upper bound.</param>
internal sealed record Figure(string Name, Quartiles Value, string Unit, double? Aim = null, bool AtMost = false)
{
    internal bool? IsMet => Aim is { } aim ? (AtMost ? Value.Median <= aim : Value.Median >= aim) : null;
}

/// <summary>Everything that an experiment found: printed, and written as JSON.</summary>
internal sealed class Report(string name, string what, bool quick)
{
    private readonly List<Series> _series = [];
    private readonly List<Figure> _figures = [];
    private readonly List<string> _notes = [];
    private readonly JsonObject _extra = [];

    internal string Name => name;
    internal string What => what;
    internal IReadOnlyList<Series> Series => _series;
    internal IReadOnlyList<Figure> Figures => _figures;
    internal bool IsNoisy => _series.Any(series => series.IsNoisy);

    internal Series Add(Series series)
    {
        _series.Add(series);
        return series;
    }

    internal void Add(Figure figure) => _figures.Add(figure);

    internal void Note(string note) => _notes.Add(note);

    internal void Extra(string key, JsonNode node) => _extra[key] = node;

    /// <summary>Writes RESULTS/NAME.json and prints the figures. True if all aims are met.</summary>
    internal bool Finish(string results)
    {
        string path = Path.Combine(results, name + ".json");
        using (var file = File.Create(path))
        using (var writer = new Utf8JsonWriter(file, new JsonWriterOptions { Indented = true }))
            Json().WriteTo(writer);
        Console.WriteLine();
        foreach (var figure in _figures)
        {
            string aim = figure.Aim is { } a ? $"   aim {(figure.AtMost ? "≤" : "≥")} {Units.Short(a)}: {(figure.IsMet == true ? "met" : "MISSED")}" : "";
            Console.WriteLine($"{figure.Name,-64} {Units.Short(figure.Value.Median),9} {figure.Unit,-6} [{Units.Short(figure.Value.Lower)} – {Units.Short(figure.Value.Upper)}]{aim}");
        }

        foreach (string note in _notes) Console.WriteLine("note: " + note);
        if (IsNoisy) Console.WriteLine("NOISY: others used more than 0.2 cores in rounds that count; repeat on an idle machine");
        Console.WriteLine($"written: {path}");
        return _figures.All(figure => figure.IsMet != false);
    }

    private JsonObject Json() => new()
    {
        ["experiment"] = name,
        ["what"] = what,
        ["quick"] = quick,
        ["noisy"] = IsNoisy,
        ["at"] = DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture),
        ["machine"] = MachineState.Json(),
        ["figures"] = new JsonArray([.. _figures.Select(FigureJson)]),
        ["cells"] = new JsonArray([.. _series.Select(SeriesJson)]),
        ["notes"] = new JsonArray([.. _notes.Select(note => (JsonNode?)JsonValue.Create(note))]),
        ["extra"] = _extra,
    };

    // A run in which nothing was answered has no CPU time per request; JSON has no infinity.
    private static JsonNode? Number(double value) => double.IsFinite(value) ? JsonValue.Create(value) : null;

    private static JsonNode? FigureJson(Figure figure)
    {
        var node = new JsonObject
        {
            ["name"] = figure.Name,
            ["unit"] = figure.Unit,
            ["median"] = Number(figure.Value.Median),
            ["quartiles"] = new JsonArray(Number(figure.Value.Lower), Number(figure.Value.Upper)),
        };
        if (figure.Aim is not { } aim) return node;
        node["aim"] = (figure.AtMost ? "<= " : ">= ") + aim.ToString(CultureInfo.InvariantCulture);
        node["met"] = figure.IsMet;
        return node;
    }

    private static JsonNode? SeriesJson(Series series)
    {
        var sides = new JsonObject();
        foreach (string side in series.Sides)
        {
            var figures = new JsonObject();
            foreach (string figure in series.Rounds[0][side].Keys)
            {
                var quartiles = Quartiles.Of(series.Of(side, figure));
                figures[figure] = new JsonObject
                {
                    ["median"] = Number(quartiles.Median),
                    ["quartiles"] = new JsonArray(Number(quartiles.Lower), Number(quartiles.Upper)),
                    ["runs"] = new JsonArray([.. series.Of(side, figure).Select(Number)]),
                };
            }

            sides[side] = figures;
        }

        return new JsonObject
        {
            ["cell"] = series.Cell,
            ["rounds"] = series.Rounds.Count,
            ["voidRounds"] = series.Void,
            ["othersCores"] = new JsonArray([.. series.Others.Select(value => (JsonNode?)JsonValue.Create(value))]),
            ["noisy"] = series.IsNoisy,
            ["sides"] = sides,
        };
    }
}
