using System.Text;

namespace Archipelago.Runtime.Configuration;

/// <summary>
/// A checked configuration: every single section with every value, and every named section that was written. Made by
/// <see cref="ConfigLoader"/>; immutable, safe for any thread.
/// </summary>
public sealed class Config
{
    private readonly Dictionary<string, ConfigSection> _byName = new(StringComparer.Ordinal);

    internal Config(IReadOnlyList<ConfigSection> sections)
    {
        Sections = sections;
        foreach (ConfigSection section in sections)
        {
            _byName.Add(section.Name, section);
        }
    }

    /// <summary>The sections: first those of the schema, then the named ones in the order in which they were written.</summary>
    public IReadOnlyList<ConfigSection> Sections { get; }

    /// <summary>A section by its full name, or null.</summary>
    public ConfigSection? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>The section of a single table. A table that is not of this configuration's schema is our own fault.</summary>
    public ConfigSection this[SectionSpec single] =>
        !single.IsNamed && Find(single.Kind) is { } section && ReferenceEquals(section.Spec, single)
            ? section
            : throw new ArgumentException($"the schema has no single section [{single.Title}]", nameof(single));

    /// <summary>The written sections of a named table or variant, in their order.</summary>
    public IEnumerable<ConfigSection> All(SectionSpec named) => Sections.Where(s => ReferenceEquals(s.Spec, named));

    /// <summary>The written sections of a kind (<c>peer</c>), whatever their variant.</summary>
    public IEnumerable<ConfigSection> AllOfKind(string kind) => Sections.Where(s => s.Spec.IsNamed && s.Spec.Kind == kind);

    /// <summary>All values in force as a configuration file, each with its origin as a comment: <c>archipelago config check</c>.</summary>
    /// <param name="isShown">Which sections; null for all.</param>
    public string Describe(Func<ConfigSection, bool>? isShown = null)
    {
        var text = new StringBuilder();
        foreach (ConfigSection section in Sections.Where(s => isShown?.Invoke(s) ?? true))
        {
            text.Append(text.Length > 0 ? "\n" : "").Append('[').Append(section.Name).Append("]\n");
            foreach ((string key, ConfigValue value) in section.Values)
            {
                text.Append(key).Append(" = ").Append(ConfigHelp.Written(value.Text));
                text.Append("  # ").Append(value.Origin.ToString().ReplaceLineEndings(" ")).Append('\n');
            }
        }

        return text.ToString();
    }
}
