using System.Text;

namespace Archipelago.Runtime.Configuration;

/// <summary>Any text of bounded length in UTF-8 bytes.</summary>
public sealed class StringType(int minBytes, int maxBytes) : OptionType<string>
{
    /// <inheritdoc/>
    public override string Placeholder => "TEXT";

    /// <inheritdoc/>
    public override string Expected => minBytes > 0 ? $"{minBytes} to {maxBytes} bytes of text" : $"at most {maxBytes} bytes of text";

    /// <inheritdoc/>
    public override bool TryParse(string text, string baseDirectory, out string value, out string? why)
    {
        why = null;
        value = text;
        int bytes = Encoding.UTF8.GetByteCount(text);
        return bytes >= minBytes && bytes <= maxBytes && !text.AsSpan().ContainsAnyInRange('\0', '\u001f');
    }

    /// <inheritdoc/>
    public override string Format(string value) => value;
}

/// <summary>Words separated by commas; each is not empty. An empty text is an empty list.</summary>
public sealed class ListType : OptionType<IReadOnlyList<string>>
{
    /// <inheritdoc/>
    public override string Placeholder => "WORD,…";

    /// <inheritdoc/>
    public override string Expected => "words separated by commas";

    /// <inheritdoc/>
    public override bool TryParse(string text, string baseDirectory, out IReadOnlyList<string> value, out string? why)
    {
        why = null;
        string[] words = text.Trim().Length == 0 ? [] : text.Split(',', StringSplitOptions.TrimEntries);
        value = words;
        return !Array.Exists(words, w => w.Length == 0 || w.AsSpan().ContainsAnyInRange('\0', '\u001f'));
    }

    /// <inheritdoc/>
    public override string Format(IReadOnlyList<string> value) => string.Join(", ", value);
}

/// <summary>
/// A path. A relative one is taken from the directory of the file in which it is written, or from the working directory if it comes
/// from the command line or the environment; the value is absolute. Empty, where that is allowed, stands for "none".
/// </summary>
public sealed class PathType(bool allowEmpty, int maxBytes) : OptionType<string>
{
    /// <inheritdoc/>
    public override string Placeholder => "PATH";

    /// <inheritdoc/>
    public override string Expected => $"a path of at most {maxBytes} bytes" + (allowEmpty ? ", or nothing" : "");

    /// <inheritdoc/>
    public override bool TryParse(string text, string baseDirectory, out string value, out string? why)
    {
        why = null;
        value = text;
        if (text.Length == 0)
        {
            return allowEmpty;
        }

        if (text.AsSpan().ContainsAnyInRange('\0', '\u001f'))
        {
            return false;
        }

        value = Path.GetFullPath(text, baseDirectory);
        if (Encoding.UTF8.GetByteCount(value) <= maxBytes)
        {
            return true;
        }

        why = $"{ConfigError.Quote(value)} of {Encoding.UTF8.GetByteCount(value)} bytes";
        return false;
    }

    /// <inheritdoc/>
    public override string Format(string value) => value;
}
