using System.Diagnostics;
using System.Globalization;
using Archipelago.Experiments.Processes;

namespace Archipelago.Experiments.Measure;

/// <summary>
/// CPU time of the machine and of our own processes between two moments. What of the machine's is not ours disturbed the run:
/// more than <see cref="Limit"/> cores makes it void. Time stolen by the hypervisor counts as disturbance too.
/// </summary>
internal sealed class CpuMeter
{
    /// <summary>Cores that others may use in a valid run.</summary>
    internal const double Limit = 0.2;
    private const double TicksPerSecond = 100;

    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly double _machine = Machine();
    private readonly double _own = Own();

    /// <summary>Cores used by others since the meter was made.</summary>
    internal double Others()
    {
        double seconds = Stopwatch.GetElapsedTime(_start).TotalSeconds;
        return Math.Max(0, (Machine() - _machine - (Own() - _own)) / seconds);
    }

    /// <summary>CPU seconds of one process, its threads included.</summary>
    internal static double Of(int pid) => Read(pid, withChildren: false);

    private static double Machine()
    {
        string[] fields = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        // user nice system – idle iowait – irq softirq steal; guest time is part of user time.
        return new[] { 1, 2, 3, 6, 7, 8 }.Sum(i => double.Parse(fields[i], CultureInfo.InvariantCulture)) / TicksPerSecond;
    }

    private static double Own() => ProcessTree.Own().Sum(pid => Read(pid, withChildren: true));

    private static double Read(int pid, bool withChildren)
    {
        try
        {
            string text = File.ReadAllText($"/proc/{pid}/stat");
            // The name in parentheses may hold blanks. After it: state is field 3, utime 14, stime 15, cutime 16, cstime 17.
            string[] fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
            double Field(int number) => double.Parse(fields[number - 3], CultureInfo.InvariantCulture);
            return (Field(14) + Field(15) + (withChildren ? Field(16) + Field(17) : 0)) / TicksPerSecond;
        }
        catch (IOException)
        {
            return 0;
        }
    }
}
