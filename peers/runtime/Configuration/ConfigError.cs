using System.Text;

namespace Archipelago.Runtime.Configuration;

/// <summary>
/// One fault of a configuration: where it stands, in which section and key (null where the fault is not inside one), what was
/// expected, and what was found.
/// </summary>
public sealed record ConfigError(ConfigOrigin Origin, string? Section, string? Key, string Expected, string Found)
{
    private const int FoundLimit = 200;

    /// <summary><c>FILE:LINE: [section] key: expected …, found …</c></summary>
    public override string ToString()
    {
        var text = new StringBuilder().Append(Origin.ToString()).Append(": ");
        if (Section is not null)
        {
            text.Append('[').Append(Section).Append("] ");
        }

        if (Key is not null)
        {
            text.Append(Key).Append(": ");
        }
        else if (Section is not null)
        {
            text.Length--;
            text.Append(": ");
        }

        return text.Append("expected ").Append(Expected).Append(", found ").Append(Found).ToString();
    }

    /// <summary>A text from outside, in quotes, cut and with control characters replaced, so that it is safe in a message.</summary>
    public static string Quote(string text)
    {
        var quoted = new StringBuilder("\"");
        foreach (char c in text.Length > FoundLimit ? text[..FoundLimit] : text)
        {
            quoted.Append(char.IsControl(c) || char.IsSurrogate(c) ? '?' : c);
        }

        return quoted.Append(text.Length > FoundLimit ? "…\"" : "\"").ToString();
    }
}
