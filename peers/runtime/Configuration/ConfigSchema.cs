namespace Archipelago.Runtime.Configuration;

/// <summary>All option tables that a process knows: those of its hosting parts and those of every peer type. Immutable.</summary>
public sealed class ConfigSchema
{
    /// <summary>A schema; tables that contradict each other are our own fault and throw.</summary>
    public ConfigSchema(params IEnumerable<SectionSpec> sections)
    {
        Sections = [.. sections];
        for (int i = 0; i < Sections.Count; i++)
        {
            SectionSpec section = Sections[i];
            bool clash = Sections.Take(i).Any(other =>
                section.Kind == other.Kind
                && section.IsNamed == other.IsNamed
                && (section.VariantName == other.VariantName || (section.VariantName is null) != (other.VariantName is null)));
            if (clash)
            {
                throw new ArgumentException($"section [{section.Title}] is declared twice", nameof(sections));
            }
        }
    }

    /// <summary>The tables, in the order of the man page.</summary>
    public IReadOnlyList<SectionSpec> Sections { get; }

    /// <summary>The names of sections that may be written, for messages.</summary>
    internal IEnumerable<string> Titles => Sections.Select(s => s.Title);

    internal IEnumerable<SectionSpec> OfKind(string name)
    {
        int dot = name.IndexOf('.');
        string kind = dot < 0 ? name : name[..dot];
        return Sections.Where(s => s.IsNamed == dot >= 0 && s.Kind == kind);
    }
}
