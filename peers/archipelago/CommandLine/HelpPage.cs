using System.Text;

namespace Archipelago.Cli.CommandLine;

/// <summary>Makes help pages in the manner of man(1) from the table of commands.</summary>
internal static class HelpPage
{
    private const int Width = 80;
    private const string Indent = "       ";

    internal static string Render(CliCommand command, IEnumerable<CliCommand> all)
    {
        var page = new StringBuilder();
        string name = ("archipelago " + command.Path).TrimEnd();
        Head(page, "NAME");
        Wrap(page, $"{name} - {command.Summary}", Indent);
        Head(page, "SYNOPSIS");
        Wrap(page, Synopsis(command, name), Indent);
        if (command.Description.Length > 0) Head(page, "DESCRIPTION");
        foreach (string paragraph in command.Description)
        {
            Wrap(page, paragraph, Indent);
            if (paragraph != command.Description[^1]) page.Append('\n');
        }

        CliCommand[] below = [.. all.Where(c => IsBelow(c, command))];
        if (below.Length > 0) Head(page, "COMMANDS");
        foreach (var child in below) Item(page, child.Path, child.Summary);
        if (command.Arguments.Length > 0) Head(page, "ARGUMENTS");
        foreach (var argument in command.Arguments) Item(page, argument.Name, argument.Help);
        Head(page, "OPTIONS");
        foreach (var option in command.Options) Item(page, option.Value is null ? option.Name : $"{option.Name} {option.Value}", option.Help);
        Item(page, "-h, --help", "Shows this page.");
        if (command.More is { } more) page.Append('\n').Append(more());
        Head(page, "EXIT STATUS");
        Wrap(page, "0 if it is done; 1 if it failed, with the error's symbol, what failed and what to do on standard error; 2 if the command line or "
            + "the configuration is wrong, in which case nothing was changed.", Indent);
        if (command.Examples.Length > 0) Head(page, "EXAMPLES");
        foreach (string example in command.Examples) page.Append(Indent).Append(example).Append('\n');
        return page.ToString();
    }

    internal static bool IsBelow(CliCommand child, CliCommand parent)
    {
        if (parent.Path.Length == 0) return child.Path.Length > 0 && !child.Path.Contains(' ');
        return child.Path.StartsWith(parent.Path + " ", StringComparison.Ordinal);
    }

    private static string Synopsis(CliCommand command, string name)
    {
        var text = new StringBuilder(name);
        if (command.Run is null) text.Append(" COMMAND");
        foreach (var option in command.Options) text.Append(option.Value is null ? $" [{option.Name}]" : $" [{option.Name} {option.Value}]").Append(option.Repeats ? "…" : "");
        foreach (var argument in command.Arguments)
        {
            string value = argument.Name + (argument.Repeats ? "…" : "");
            text.Append(argument.Minimum == 0 ? $" [{value}]" : " " + value);
        }

        return text.ToString();
    }

    private static void Head(StringBuilder page, string title) => page.Append(page.Length > 0 ? "\n" : "").Append(title).Append('\n');

    private static void Item(StringBuilder page, string term, string text)
    {
        page.Append(Indent).Append(term).Append('\n');
        Wrap(page, text, Indent + "    ");
    }

    private static void Wrap(StringBuilder page, string text, string indent)
    {
        var line = new StringBuilder(indent);
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.Length > indent.Length && line.Length + word.Length > Width)
            {
                page.Append(line.ToString().TrimEnd()).Append('\n');
                line.Clear().Append(indent);
            }

            line.Append(word).Append(' ');
        }

        page.Append(line.ToString().TrimEnd()).Append('\n');
    }
}
