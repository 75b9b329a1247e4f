using System.Globalization;
using System.Text.Json;
using Archipelago.Experiments.Measure;

namespace Archipelago.Experiments.Processes;

/// <summary>Runs fio and reads its JSON.</summary>
internal static class Fio
{
    /// <summary>
    /// The figures of a run: rate (I/Os per second), seconds (with a flush at the end, if asked for), p50 and p99 (ns), cpuBench (seconds per million). The arguments name engine,
    /// target, --rw and depth.
    /// </summary>
    internal static Figures Run(TimeSpan length, int core, params IEnumerable<string> arguments)
    {
        var (program, pin) = core >= 0 ? ("taskset", new[] { "-c", core.ToString(CultureInfo.InvariantCulture), "fio" }) : ("fio", []);
        string output = Tool.Output(program,
        [
            .. pin, "--name=x", "--bs=4k", "--thread", "--group_reporting", "--output-format=json", "--randrepeat=0",
            .. length > TimeSpan.Zero ? ["--time_based", string.Create(CultureInfo.InvariantCulture, $"--runtime={(long)length.TotalMilliseconds}ms")] : Array.Empty<string>(),
            .. arguments,
        ]);
        // Some engines print a line of their own before the JSON.
        using var json = JsonDocument.Parse(output[output.IndexOf('{')..]);
        var job = json.RootElement.GetProperty("jobs")[0];
        var read = job.GetProperty("read");
        var side = read.GetProperty("total_ios").GetInt64() > 0 ? read : job.GetProperty("write");
        double cpu = (job.GetProperty("usr_cpu").GetDouble() + job.GetProperty("sys_cpu").GetDouble()) / 100 * job.GetProperty("job_runtime").GetDouble() / 1000;
        double requests = side.GetProperty("total_ios").GetDouble();
        var percentiles = side.GetProperty("clat_ns").GetProperty("percentile");
        return new Figures
        {
            ["rate"] = side.GetProperty("iops").GetDouble(),
            ["requests"] = requests,
            ["seconds"] = job.GetProperty("job_runtime").GetDouble() / 1000,
            ["p50"] = percentiles.GetProperty("50.000000").GetDouble(),
            ["p99"] = percentiles.GetProperty("99.000000").GetDouble(),
            ["cpuBench"] = cpu * 1e6 / requests,
        };
    }
}
