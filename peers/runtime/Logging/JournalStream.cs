namespace Archipelago.Runtime.Logging;

/// <summary>
/// Whether standard error leads to systemd's journal: <c>$JOURNAL_STREAM</c> holds the device and inode of the stream that systemd
/// made. A process that inherited the variable but whose standard error was redirected since must not write prefixes.
/// </summary>
public static class JournalStream
{
    private const string StandardErrorLink = "/proc/self/fd/2";

    /// <summary>Looks at this process.</summary>
    public static bool IsStandardError()
    {
        string? target = null;
        try
        {
            target = new FileInfo(StandardErrorLink).LinkTarget;
        }
        catch (IOException)
        {
            // No /proc: the variable alone decides.
        }

        return Matches(Environment.GetEnvironmentVariable("JOURNAL_STREAM"), target);
    }

    /// <summary>
    /// Whether <paramref name="journalStream"/> (<c>device:inode</c>) names the socket that the link <paramref name="target"/>
    /// (<c>socket:[inode]</c>) stands for; an unknown link counts as a match.
    /// </summary>
    internal static bool Matches(string? journalStream, string? target)
    {
        int colon = journalStream?.IndexOf(':') ?? -1;
        return colon > 0 && (target is null || target == $"socket:[{journalStream![(colon + 1)..]}]");
    }
}
