namespace Archipelago.Runtime.Configuration;

/// <summary>The grammar of section and key names, their spelling in the environment, and what was probably meant by a wrong one.</summary>
internal static class ConfigNames
{
    public const string Alphabet = "lower-case letters, digits and dashes, beginning with a letter or digit";
    public const string EnvironmentPrefix = "ARCHIPELAGO_";
    private const int MaxLength = 128;

    public static bool IsKey(ReadOnlySpan<char> name) => IsWord(name);

    public static bool IsSection(ReadOnlySpan<char> name)
    {
        int dot = name.IndexOf('.');
        return dot < 0 ? IsWord(name) : IsWord(name[..dot]) && IsWord(name[(dot + 1)..]);
    }

    /// <summary>The environment variable of a key: upper case, dots and dashes as underscores.</summary>
    public static string Variable(string section, string key) =>
        EnvironmentPrefix + Upper(section) + "_" + Upper(key);

    public static string Upper(string name) => name.Replace('.', '_').Replace('-', '_').ToUpperInvariant();

    /// <summary>The candidate that needs the fewest edits, if that is few enough to be a likely slip.</summary>
    public static string? Nearest(string name, IEnumerable<string> candidates)
    {
        string? best = null;
        int least = Math.Max(1, name.Length / 3) + 1;
        foreach (string candidate in candidates)
        {
            int distance = Distance(name.Replace('_', '-'), candidate);
            if (distance < least)
            {
                least = distance;
                best = candidate;
            }
        }

        return best;
    }

    private static bool IsWord(ReadOnlySpan<char> name) =>
        name.Length is > 0 and <= MaxLength
        && name[0] != '-'
        && !name.ContainsAnyExcept("abcdefghijklmnopqrstuvwxyz0123456789-");

    private static int Distance(string a, string b)
    {
        int[] row = new int[b.Length + 1];
        for (int j = 0; j <= b.Length; j++)
        {
            row[j] = j;
        }

        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substituted, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[b.Length];
    }
}
