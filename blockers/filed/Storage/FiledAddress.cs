using System.Globalization;

namespace Archipelago.Filed.Storage;

/// <summary>
/// Which filed of which process on which host: boot id, pid namespace, pid, start time of the process (in ticks since boot), and a number within
/// the process. No two processes have the same, ever.
/// </summary>
internal sealed record FiledAddress(string Boot, ulong Namespace, int Process, ulong Start, int Instance)
{
    private static int s_instances;

    /// <summary>The address of a new filed of this process.</summary>
    internal static FiledAddress Next() => Here() with { Instance = Interlocked.Increment(ref s_instances) };

    /// <summary>This process, and no filed of it.</summary>
    internal static FiledAddress Here()
    {
        string link = new FileInfo("/proc/self/ns/pid").LinkTarget ?? "";
        _ = ulong.TryParse(link.AsSpan(link.IndexOf('[') + 1).TrimEnd(']'), NumberStyles.None, CultureInfo.InvariantCulture, out ulong space);
        int self = Environment.ProcessId;
        return new FiledAddress(File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim(), space, self, StartOf(self) ?? 0, 0);
    }

    /// <summary>Reads what <see cref="ToString"/> wrote; null for anything else.</summary>
    internal static FiledAddress? Parse(string text)
    {
        string[] parts = text.Split('/');
        return parts.Length == 5 && Guid.TryParse(parts[0], out _) && TryNumber(parts[1], out ulong space) && TryNumber(parts[2], out ulong process) && process is > 0 and <= int.MaxValue
            && TryNumber(parts[3], out ulong start) && TryNumber(parts[4], out ulong instance) && instance <= int.MaxValue
            ? new FiledAddress(parts[0], space, (int)process, start, (int)instance) : null;
    }

    /// <summary>Whether its process could be seen from this one, if it lived.</summary>
    internal bool IsVisibleTo(FiledAddress other) => Boot == other.Boot && Namespace == other.Namespace;

    /// <summary>Start time of a process of this pid namespace; null if there is none.</summary>
    internal static ulong? StartOf(int process)
    {
        const int startField = 22, fieldAfterName = 3;
        try
        {
            string stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{process}/stat"));
            // The name may hold anything, brackets too.
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return TryNumber(fields[startField - fieldAfterName], out ulong start) ? start : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Boot}/{Namespace}/{Process}/{Start}/{Instance}");

    private static bool TryNumber(string text, out ulong number) => ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
