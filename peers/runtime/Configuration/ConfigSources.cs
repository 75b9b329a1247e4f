using System.Collections;

namespace Archipelago.Runtime.Configuration;

/// <summary>
/// What a configuration is made of, in rising precedence: defaults (from the schema), <see cref="File"/>, <see cref="Environment"/>,
/// <see cref="Settings"/>.
/// </summary>
public sealed record ConfigSources
{
    /// <summary>Path of the file, or null for none. A file that is named must exist.</summary>
    public string? File { get; init; }

    /// <summary>The built-in configuration that stands in for a file where none is named, as the text of a file; null for none.</summary>
    public string? BuiltIn { get; init; }

    /// <summary>
    /// Environment variables; those that begin with <c>ARCHIPELAGO_</c> count: <c>ARCHIPELAGO_SECTION_KEY</c>, upper case, dots and
    /// dashes as underscores. One that fits no option is an error, as an unknown key is.
    /// </summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>Variables with the prefix that mean something else, and are left alone.</summary>
    public IReadOnlyList<string> ReservedVariables { get; init; } = [];

    /// <summary>The arguments of <c>--set</c>: <c>section.key=value</c> or <c>kind.name.key=value</c>.</summary>
    public IReadOnlyList<string> Settings { get; init; } = [];

    /// <summary>
    /// Values that the program derives from something else than a configuration, and from what, for error texts. They
    /// go over nothing but defaults; their sections do not count as written.
    /// </summary>
    public IReadOnlyList<(string Section, string Key, string Value, string From)> Derived { get; init; } = [];

    /// <summary>Where relative paths from the environment and the command line begin.</summary>
    public string WorkingDirectory { get; init; } = System.Environment.CurrentDirectory;

    /// <summary>The variables of this process.</summary>
    public static IReadOnlyDictionary<string, string> ProcessEnvironment()
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (DictionaryEntry variable in System.Environment.GetEnvironmentVariables())
        {
            variables[(string)variable.Key] = (string?)variable.Value ?? "";
        }

        return variables;
    }
}
