namespace Archipelago.Runtime.Configuration;

/// <summary>The values in force of one section, every option of its table included. Immutable; safe for any thread.</summary>
public sealed class ConfigSection
{
    private readonly IReadOnlyDictionary<string, ConfigValue> _values;
    private readonly ConfigOrigin _origin;

    internal ConfigSection(string name, SectionSpec spec, bool written, ConfigOrigin origin, IReadOnlyDictionary<string, ConfigValue> values)
    {
        Name = name;
        Spec = spec;
        IsWritten = written;
        _origin = origin;
        _values = values;
    }

    /// <summary>The full name: <c>log</c>, <c>peer.cached</c>.</summary>
    public string Name { get; }

    /// <summary>The name after the dot, or the full name if there is none.</summary>
    public string Instance => Name[(Name.IndexOf('.') + 1)..];

    /// <summary>The option table that applies.</summary>
    public SectionSpec Spec { get; }

    /// <summary>Whether somebody wrote the section; false if it exists by its defaults only.</summary>
    public bool IsWritten { get; }

    /// <summary>All values in force by key, those of open keys included: for <c>config check</c> and for sections with open keys.</summary>
    public IReadOnlyDictionary<string, ConfigValue> Values => _values;

    /// <summary>The value of an option of this section's table. One that is not of it is our own fault.</summary>
    public T Get<T>(OptionSpec<T> option) => ((ConfigValue<T>)Find(option)).Value;

    /// <summary>The value of an open key, read as the table's <see cref="SectionSpec.AnyKey"/> says; false if it is not written.</summary>
    public bool TryGet<T>(OptionSpec<T> anyKey, string key, out T value)
    {
        if (!ReferenceEquals(anyKey, Spec.AnyKey))
        {
            throw new ArgumentException($"[{Name}] has no open keys of this kind", nameof(anyKey));
        }

        bool found = _values.TryGetValue(key, out ConfigValue? held) && !Spec.Keys.ContainsKey(key);
        value = found ? ((ConfigValue<T>)held!).Value : default!;
        return found;
    }

    /// <summary>Where the value of an option comes from.</summary>
    public ConfigOrigin Origin(OptionSpec option) => Find(option).Origin;

    /// <summary>Whether somebody wrote the option, be it with the value of its default.</summary>
    public bool IsSet(OptionSpec option) => Find(option).Origin != ConfigOrigin.Default;

    /// <summary>
    /// A fault that only a peer can see (two options that contradict each other), told as any other: with the place of the option, or of the section
    /// if nobody has written the option.
    /// </summary>
    public ConfigException Refuse(OptionSpec option, string expected) =>
        new([new ConfigError(IsSet(option) ? Origin(option) : _origin, Name, option.Key, expected, ConfigError.Quote(Find(option).Text))]);

    private ConfigValue Find(OptionSpec option) =>
        Spec.Keys.TryGetValue(option.Key, out OptionSpec? own) && ReferenceEquals(own, option)
            ? _values[option.Key]
            : throw new ArgumentException($"[{Name}] has no option \"{option.Key}\"", nameof(option));
}
