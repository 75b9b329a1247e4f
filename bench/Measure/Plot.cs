using System.Globalization;
using System.Text;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Measure;

/// <summary>Plots by gnuplot, as SVG.</summary>
internal static class Plot
{
    /// <summary>Bars with quartiles: one cluster per cell, one bar per side.</summary>
    internal static void Bars(string path, string title, string unit, IReadOnlyList<string> cells, IReadOnlyList<string> sides, Func<string, string, Quartiles?> value, double scale = 1, bool logarithmic = false)
    {
        var script = new StringBuilder(Head(path, title, cells.Count));
        script.AppendLine("set style data histograms\nset style histogram errorbars gap 1.5 lw 1\nset style fill solid 0.75 border -1\nset bars 0.6");
        script.AppendLine(CultureInfo.InvariantCulture, $"set ylabel \"{unit}\"\nset grid ytics lc rgb '#dddddd'\n{(logarithmic ? "set logscale y\n" : "set yrange [0:*]\n")}set xtics rotate by -25 nomirror");
        script.AppendLine("$data << END");
        foreach (string cell in cells)
        {
            script.Append(CultureInfo.InvariantCulture, $"\"{cell}\"");
            foreach (string side in sides)
            {
                if (value(cell, side) is { } q) script.Append(CultureInfo.InvariantCulture, $" {q.Median / scale} {q.Lower / scale} {q.Upper / scale}");
                else script.Append(" NaN NaN NaN");
            }

            script.AppendLine();
        }

        script.AppendLine("END");
        script.Append("plot ").AppendJoin(", ", sides.Select((side, i) => $"$data using {(i * 3) + 2}:{(i * 3) + 3}:{(i * 3) + 4}{(i == 0 ? ":xtic(1)" : "")} title \"{side}\"")).AppendLine();
        Run(script.ToString());
    }

    /// <summary>Lines over time, one per name.</summary>
    internal static void Lines(string path, string title, string unit, IReadOnlyList<(string Name, IReadOnlyList<double> Values)> lines)
    {
        var script = new StringBuilder(Head(path, title, 12));
        script.AppendLine(CultureInfo.InvariantCulture, $"set ylabel \"{unit}\"\nset xlabel \"seconds\"\nset yrange [0:*]\nset grid lc rgb '#dddddd'");
        for (int i = 0; i < lines.Count; i++)
        {
            script.AppendLine(CultureInfo.InvariantCulture, $"$d{i} << END");
            for (int at = 0; at < lines[i].Values.Count; at++) script.AppendLine(CultureInfo.InvariantCulture, $"{at} {lines[i].Values[at]}");
            script.AppendLine("END");
        }

        script.Append("plot ").AppendJoin(", ", lines.Select((line, i) => $"$d{i} using 1:2 with lines lw 2 title \"{line.Name}\"")).AppendLine();
        Run(script.ToString());
    }

    private static string Head(string path, string title, int cells) =>
        $"set terminal svg size {Math.Max(720, 160 + (cells * 90))},460 dynamic enhanced font 'sans,12' background rgb 'white'\nset output '{path}'\nset title \"{title}\" noenhanced\n"
        + "set key outside bottom center horizontal noenhanced\nset xtics noenhanced\n";

    private static void Run(string script)
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, script);
            Tool.Output("gnuplot", file);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
