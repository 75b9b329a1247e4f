namespace Archipelago.Runtime.Configuration;

/// <summary>
/// The option table of a section. Three kinds of sections exist:
/// <list type="bullet">
/// <item><see cref="Single"/>: <c>[log]</c>, there whether written or not.</item>
/// <item><see cref="Named"/>: <c>[export.NAME]</c>, any number of them, all with the same options.</item>
/// <item><see cref="Variant"/>: <c>[peer.NAME]</c>, where the options depend on the key <c>type</c>, which defaults to NAME:
/// <c>[peer.cached]</c>, or <c>[peer.cache2]</c> with <c>type = cached</c>.</item>
/// </list>
/// </summary>
public sealed class SectionSpec
{
    /// <summary>The key that picks a variant.</summary>
    public const string TypeKey = "type";

    private SectionSpec(string kind, bool named, string? variant, string summary, OptionSpec[] options, OptionSpec? anyKey)
    {
        if (!ConfigNames.IsKey(kind) || (variant is not null && !ConfigNames.IsKey(variant)))
        {
            throw new ArgumentException($"section \"{kind}\" \"{variant}\" needs names of {ConfigNames.Alphabet}", nameof(kind));
        }

        Kind = kind;
        IsNamed = named;
        VariantName = variant;
        Summary = summary;
        AnyKey = anyKey;
        Options = options;
        foreach (OptionSpec option in options)
        {
            if (!Keys.TryAdd(option.Key, option) || (variant is not null && option.Key == TypeKey))
            {
                throw new ArgumentException($"section \"{kind}\": option \"{option.Key}\" is declared twice", nameof(options));
            }
        }
    }

    /// <summary>The section's name, or the part before the dot.</summary>
    public string Kind { get; }

    /// <summary>Whether a name follows after a dot.</summary>
    public bool IsNamed { get; }

    /// <summary>The value of <c>type</c> that picks this table, or null if the section has no variants.</summary>
    public string? VariantName { get; }

    /// <summary>What the section is for: a paragraph for the man page.</summary>
    public string Summary { get; }

    /// <summary>The rows, in the order of the man page.</summary>
    public IReadOnlyList<OptionSpec> Options { get; }

    /// <summary>The row that applies to every key that is no row of its own (routes by name, for example), or null.</summary>
    public OptionSpec? AnyKey { get; }

    /// <summary>How the section is written in help texts: <c>log</c>, <c>export.NAME</c>, <c>peer.cached</c>.</summary>
    public string Title => VariantName is not null ? $"{Kind}.{VariantName}" : IsNamed ? $"{Kind}.NAME" : Kind;

    internal Dictionary<string, OptionSpec> Keys { get; } = new(StringComparer.Ordinal);

    /// <summary>A section that is there once.</summary>
    public static SectionSpec Single(string name, string summary, OptionSpec[] options, OptionSpec? anyKey = null) =>
        new(name, false, null, summary, options, anyKey);

    /// <summary>Sections <c>[kind.NAME]</c> with the same options.</summary>
    public static SectionSpec Named(string kind, string summary, OptionSpec[] options, OptionSpec? anyKey = null) =>
        new(kind, true, null, summary, options, anyKey);

    /// <summary>Sections <c>[kind.NAME]</c> whose <c>type</c> (default: NAME) is <paramref name="variant"/>.</summary>
    public static SectionSpec Variant(string kind, string variant, string summary, OptionSpec[] options) =>
        new(kind, true, variant, summary, options, null);

    internal OptionSpec? Find(string key) => Keys.GetValueOrDefault(key) ?? AnyKey;
}
