namespace Archipelago.Cli.CommandLine;

/// <summary>An option of a command: one row, from which parser, help page and completion are made.</summary>
/// <param name="Name">With its dashes.</param>
/// <param name="Value">Placeholder of the value; null for a switch.</param>
/// <param name="Help">What it does: a paragraph.</param>
/// <param name="Repeats">May be given several times.</param>
/// <param name="Words">The values that are accepted, for completion; null for any.</param>
/// <param name="Shell">A shell command that prints values, for completion.</param>
internal sealed record CliOption(string Name, string? Value, string Help, bool Repeats = false, string[]? Words = null, string? Shell = null);

/// <summary>A positional argument of a command.</summary>
/// <param name="Name">In capitals.</param>
/// <param name="Help">What it is.</param>
/// <param name="Minimum">Least number of values, 0 or 1.</param>
/// <param name="Repeats">May have several values.</param>
/// <param name="Words">The values that are accepted, for completion; null for any.</param>
/// <param name="Shell">A shell command that prints values, for completion.</param>
internal sealed record CliArgument(string Name, string Help, int Minimum = 1, bool Repeats = false, string[]? Words = null, string? Shell = null);

/// <summary>A command. Its path has a space between the words: <c>volume create</c>.</summary>
internal sealed record CliCommand(string Path, string Summary)
{
    /// <summary>Paragraphs of the help page.</summary>
    public string[] Description { get; init; } = [];
    public CliArgument[] Arguments { get; init; } = [];
    public CliOption[] Options { get; init; } = [];
    /// <summary>Command lines that work as they stand.</summary>
    public string[] Examples { get; init; } = [];
    /// <summary>Further parts of the help page, made when they are asked for.</summary>
    public Func<string>? More { get; init; }
    /// <summary>What it does; null for a group of commands.</summary>
    public Func<Invocation, CancellationToken, Task<int>>? Run { get; init; }
}

/// <summary>Exit codes, the same for all commands.</summary>
internal static class ExitCode
{
    /// <summary>Done.</summary>
    internal const int Ok = 0;
    /// <summary>It failed; standard error says why.</summary>
    internal const int Failed = 1;
    /// <summary>Wrong usage or configuration; nothing was changed.</summary>
    internal const int Usage = 2;
}
