using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Measure;

/// <summary>On what the figures were measured.</summary>
internal static class MachineState
{
    private static readonly Dictionary<string, string> Versions = [];

    /// <summary>Directory of the segments.</summary>
    internal static string Segments { get; set; } = "";

    /// <summary>Notes the version of a program that takes part.</summary>
    internal static void Uses(string program, params string[] arguments) =>
        Versions[program] = Tool.Output(program, arguments).Split('\n')[0].Trim();

    internal static string Describe() =>
        $"{Cpu()}, {Environment.ProcessorCount} cores, {MemoryGiB():0} GiB, Linux {Kernel()}, {RuntimeInformation.FrameworkDescription}, {Distribution()}, load {Load()}, segments on {Mount()}"
        + string.Concat(Versions.Select(version => $", {version.Key}: {version.Value}"));

    internal static JsonObject Json()
    {
        var node = new JsonObject
        {
            ["cpu"] = Cpu(),
            ["cores"] = Environment.ProcessorCount,
            ["memoryGiB"] = MemoryGiB(),
            ["kernel"] = Kernel(),
            ["dotnet"] = RuntimeInformation.FrameworkDescription,
            ["distribution"] = Distribution(),
            ["loadAtEnd"] = Load(),
            ["segmentsOn"] = Mount(),
        };
        foreach (var (program, version) in Versions) node[program] = version;
        return node;
    }

    private static string Cpu() => Field("/proc/cpuinfo", "model name");

    private static double MemoryGiB() =>
        Math.Round(double.Parse(Field("/proc/meminfo", "MemTotal").Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture) / 1048576, 1);

    private static string Kernel() => File.ReadAllText("/proc/sys/kernel/osrelease").Trim();

    private static string Load() => string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ')[..3]);

    /// <summary>File system, and its huge-page option, of the segments' directory.</summary>
    private static string Mount()
    {
        string best = "", found = "unknown";
        foreach (string line in File.ReadLines("/proc/self/mounts"))
        {
            string[] fields = line.Split(' ');
            if (fields[1].Length <= best.Length || !(Segments + "/").StartsWith(fields[1].TrimEnd('/') + "/", StringComparison.Ordinal)) continue;
            string? huge = fields[3].Split(',').FirstOrDefault(option => option.StartsWith("huge=", StringComparison.Ordinal));
            (best, found) = (fields[1], huge == null ? $"{fields[2]}, 4 KiB pages" : $"{fields[2]}, {huge}");
        }

        return found;
    }

    private static string Distribution() =>
        File.Exists("/etc/os-release") ? File.ReadLines("/etc/os-release").First(line => line.StartsWith("PRETTY_NAME=", StringComparison.Ordinal))[12..].Trim('"') : "unknown";

    private static string Field(string file, string name) =>
        File.ReadLines(file).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal)) is { } line ? line[(line.IndexOf(':') + 1)..].Trim() : "unknown";
}
