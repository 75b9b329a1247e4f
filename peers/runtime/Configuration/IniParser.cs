using System.Text;

namespace Archipelago.Runtime.Configuration;

/// <summary>
/// Parses the INI dialect of <c>archipelago.conf</c>, in UTF-8:
/// <list type="bullet">
/// <item><c>[name]</c> or <c>[kind.name]</c> begins a section; a section comes once.</item>
/// <item><c>key = value</c>; a key comes once in its section. A value ends at the line's end, or at a <c>#</c> or <c>;</c> that
/// follows white space. In double quotes both are literal, and <c>\"</c> and <c>\\</c> stand for the quote and the backslash.</item>
/// <item>Lines that begin with <c>#</c> or <c>;</c> are comments. A line is not continued on the next.</item>
/// </list>
/// Never throws on any input; everything wrong is collected.
/// </summary>
public sealed class IniParser
{
    /// <summary>Larger files are refused: what is passed by mistake is seldom a configuration.</summary>
    public const int MaxFileBytes = 1 << 20;

    private const int MaxErrors = 100;

    private readonly string _file;
    private readonly List<IniSection> _sections = [];
    private readonly List<ConfigError> _errors = [];
    private readonly Dictionary<string, ConfigOrigin> _sectionLines = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ConfigOrigin> _keyLines = new(StringComparer.Ordinal);
    private List<IniEntry>? _entries;
    private string? _section;
    private bool _sectionIsBad;

    private IniParser(string file) => _file = file;

    /// <summary>Reads and parses a file. One that cannot be read is an error of the document, not an exception.</summary>
    public static IniDocument ParseFile(string path)
    {
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            byte[] bytes = new byte[MaxFileBytes + 1];
            int length = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            return Parse(path, bytes.AsSpan(0, length));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            string found = e is FileNotFoundException or DirectoryNotFoundException ? "no such file" : e.Message;
            return new IniDocument(path, [], [new ConfigError(new ConfigOrigin(path), null, null, "a readable configuration file", found)]);
        }
    }

    /// <summary>Parses the bytes of a file; <paramref name="file"/> is its name in messages.</summary>
    public static IniDocument Parse(string file, ReadOnlySpan<byte> utf8)
    {
        var parser = new IniParser(file);
        parser.ParseLines(utf8);
        return new IniDocument(file, parser._sections, parser._errors);
    }

    private void ParseLines(ReadOnlySpan<byte> utf8)
    {
        if (utf8.Length > MaxFileBytes)
        {
            Fail(0, null, $"a file of at most {MaxFileBytes} bytes", "a larger one");
            return;
        }

        if (utf8.StartsWith(Encoding.UTF8.Preamble))
        {
            utf8 = utf8[Encoding.UTF8.Preamble.Length..];
        }

        var strict = new UTF8Encoding(false, throwOnInvalidBytes: true);
        int line = 0;
        while (!utf8.IsEmpty && _errors.Count < MaxErrors)
        {
            line++;
            int end = utf8.IndexOf((byte)'\n');
            ReadOnlySpan<byte> bytes = end < 0 ? utf8 : utf8[..end];
            utf8 = end < 0 ? default : utf8[(end + 1)..];
            try
            {
                ParseLine(line, strict.GetString(bytes).Trim());
            }
            catch (DecoderFallbackException)
            {
                Fail(line, null, "text in UTF-8", "bytes that are not");
            }
        }
    }

    private void ParseLine(int line, string text)
    {
        if (text.Length == 0 || text[0] is '#' or ';')
        {
            return;
        }

        if (text.AsSpan().ContainsAnyInRange('\0', '\u0008') || text.AsSpan().ContainsAnyInRange('\u000b', '\u001f'))
        {
            Fail(line, null, "text without control characters", ConfigError.Quote(text));
        }
        else if (text[0] == '[')
        {
            BeginSection(line, text);
        }
        else
        {
            AddEntry(line, text);
        }
    }

    private void BeginSection(int line, string text)
    {
        _entries = [];
        _keyLines.Clear();
        _section = null;
        _sectionIsBad = true;
        string header = StripComment(text);
        string name = header.Length >= 2 && header[^1] == ']' ? header[1..^1].Trim() : "";
        if (!ConfigNames.IsSection(name))
        {
            Fail(line, null, "[name] or [kind.name] of " + ConfigNames.Alphabet, ConfigError.Quote(text));
            return;
        }

        var origin = new ConfigOrigin(_file, line);
        if (!_sectionLines.TryAdd(name, origin))
        {
            _section = name;
            Fail(line, null, $"each section once (the first is on line {_sectionLines[name].Line})", $"a second [{name}]");
            return;
        }

        _section = name;
        _sectionIsBad = false;
        _sections.Add(new IniSection(name, origin, _entries));
    }

    private void AddEntry(int line, string text)
    {
        int equals = text.IndexOf('=');
        string key = (equals < 0 ? text : text[..equals]).Trim();
        if (equals < 0)
        {
            Fail(line, null, "key = value", ConfigError.Quote(text));
        }
        else if (!ConfigNames.IsKey(key))
        {
            Fail(line, null, "a key of " + ConfigNames.Alphabet, ConfigError.Quote(key));
        }
        else if (_entries is null)
        {
            Fail(line, key, "a [section] before the first key", ConfigError.Quote(text));
        }
        else if (!_sectionIsBad && !_keyLines.TryAdd(key, new ConfigOrigin(_file, line)))
        {
            Fail(line, key, $"each key once (the first is on line {_keyLines[key].Line})", ConfigError.Quote(text));
        }
        else if (TryReadValue(text[(equals + 1)..].Trim(), out string value))
        {
            _entries.Add(new IniEntry(key, value, new ConfigOrigin(_file, line)));
        }
        else
        {
            Fail(line, key, "a closing quote, and nothing but a comment after it", ConfigError.Quote(value));
        }
    }

    private static bool TryReadValue(string text, out string value)
    {
        if (text.Length == 0 || text[0] != '"')
        {
            value = StripComment(text);
            return true;
        }

        var unquoted = new StringBuilder();
        int at = 1;
        while (at < text.Length && text[at] != '"')
        {
            if (text[at] == '\\' && at + 1 < text.Length && text[at + 1] is '"' or '\\')
            {
                at++;
            }

            unquoted.Append(text[at++]);
        }

        bool closed = at < text.Length && StripComment(text[(at + 1)..]).Length == 0;
        value = closed ? unquoted.ToString() : text;
        return closed;
    }

    private static string StripComment(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] is '#' or ';' && (i == 0 || char.IsWhiteSpace(text[i - 1])))
            {
                return text[..i].TrimEnd();
            }
        }

        return text.TrimEnd();
    }

    private void Fail(int line, string? key, string expected, string found) =>
        _errors.Add(new ConfigError(new ConfigOrigin(_file, line), _section, key, expected, found));
}
