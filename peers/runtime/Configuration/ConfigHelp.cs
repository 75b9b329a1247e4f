using System.Text;

namespace Archipelago.Runtime.Configuration;

/// <summary>Prints option tables: as help text, as a man page, and as a commented example file.</summary>
public static class ConfigHelp
{
    private const int Width = 80;

    /// <summary>For <c>--help</c>: plain text within 80 columns.</summary>
    public static string Text(IEnumerable<SectionSpec> sections)
    {
        var text = new StringBuilder();
        foreach (SectionSpec section in sections)
        {
            text.Append(text.Length > 0 ? "\n" : "").Append('[').Append(section.Title).Append("]\n");
            Wrap(text, section.Summary, "  ");
            foreach (OptionSpec option in Rows(section))
            {
                text.Append("\n  ").Append(KeyOf(section, option)).Append(" = ").Append(option.Placeholder).Append('\n');
                Wrap(text, option.Description, "      ");
                Wrap(text, Facts(option), "      ");
            }
        }

        return text.ToString();
    }

    /// <summary>The <c>OPTIONS</c> part of a man page, in man(7) macros.</summary>
    public static string ManPage(IEnumerable<SectionSpec> sections)
    {
        var page = new StringBuilder();
        foreach (SectionSpec section in sections)
        {
            page.Append(".SS [").Append(Roff(section.Title)).Append("]\n").Append(Roff(section.Summary)).Append('\n');
            foreach (OptionSpec option in Rows(section))
            {
                page.Append(".TP\n.BR ").Append(Roff(KeyOf(section, option))).Append(" \" = \" \\fI").Append(Roff(option.Placeholder)).Append("\\fR\n");
                page.Append(Roff(option.Description)).Append('\n').Append(".br\n").Append(Roff(Facts(option))).Append('\n');
            }
        }

        return page.ToString();
    }

    /// <summary>
    /// A configuration file that says everything by comments: every option with its default, commented out. It loads as it is, and
    /// means the defaults; single sections are open, so that an option is set by removing its <c>#</c>; named ones, and those that
    /// <paramref name="isClosed"/> picks, are commented out.
    /// </summary>
    public static string Example(IEnumerable<SectionSpec> sections, Func<SectionSpec, bool>? isClosed = null)
    {
        var file = new StringBuilder();
        foreach (SectionSpec section in sections)
        {
            file.Append(file.Length > 0 ? "\n" : "");
            Wrap(file, section.Summary, "# ");
            file.Append(section.IsNamed || isClosed?.Invoke(section) == true ? "#[" : "[").Append(section.Title.Replace("NAME", "name", StringComparison.Ordinal)).Append("]\n");
            foreach (OptionSpec option in Rows(section))
            {
                file.Append('\n');
                Wrap(file, option.Description, "# ");
                Wrap(file, Facts(option), "# ");
                file.Append('#').Append(KeyOf(section, option)).Append(" = ").Append(Written(option.DefaultText ?? "")).Append('\n');
            }
        }

        return file.ToString();
    }

    /// <summary>A value as it must be written to be read back: in quotes where it needs them.</summary>
    internal static string Written(string value)
    {
        bool plain = value.Trim() == value && !value.AsSpan().ContainsAny("#;\"");
        return plain ? value : '"' + value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal) + '"';
    }

    private static IEnumerable<OptionSpec> Rows(SectionSpec section) =>
        section.AnyKey is null ? section.Options : section.Options.Append(section.AnyKey);

    private static string KeyOf(SectionSpec section, OptionSpec option) =>
        ReferenceEquals(option, section.AnyKey) ? $"<{option.Key}>" : option.Key;

    private static string Facts(OptionSpec option)
    {
        string fallback = option.DefaultText switch
        {
            null => "Required.",
            "" => "Default: none.",
            string text => $"Default: {text}.",
        };
        return $"Accepts {option.Expected}. {fallback}";
    }

    private static void Wrap(StringBuilder output, string text, string indent)
    {
        var line = new StringBuilder(indent);
        foreach (string word in text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.Length > indent.Length && line.Length + word.Length > Width)
            {
                output.Append(line.ToString().TrimEnd()).Append('\n');
                line.Clear().Append(indent);
            }

            line.Append(word).Append(' ');
        }

        output.Append(line.ToString().TrimEnd()).Append('\n');
    }

    private static string Roff(string text)
    {
        string escaped = text.Replace("\\", "\\e", StringComparison.Ordinal).Replace("-", "\\-", StringComparison.Ordinal);
        return escaped.StartsWith('.') || escaped.StartsWith('\'') ? "\\&" + escaped : escaped;
    }
}
