namespace Archipelago.Runtime.Configuration;

/// <summary>A <c>key = value</c> line: the value without comment and quotes.</summary>
public sealed record IniEntry(string Key, string Value, ConfigOrigin Origin);

/// <summary>A section with its entries, in the order of the file.</summary>
public sealed record IniSection(string Name, ConfigOrigin Origin, IReadOnlyList<IniEntry> Entries);

/// <summary>
/// A parsed file, not yet checked against any option table. <see cref="Errors"/> are faults of form; the sections hold all that
/// could be read, so that form and content are reported together.
/// </summary>
public sealed record IniDocument(string File, IReadOnlyList<IniSection> Sections, IReadOnlyList<ConfigError> Errors)
{
    /// <summary>A file without anything in it.</summary>
    public static IniDocument Empty { get; } = new("(no file)", [], []);
}
