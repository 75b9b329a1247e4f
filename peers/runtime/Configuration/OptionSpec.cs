namespace Archipelago.Runtime.Configuration;

/// <summary>
/// One row of an option table: the key, its type and range, its default, and a paragraph as it stands in the man page. Immutable;
/// a peer type keeps its rows in static fields and reads values with <see cref="ConfigSection.Get{T}"/>.
/// </summary>
public abstract class OptionSpec
{
    private protected OptionSpec(string key, string description)
    {
        if (!ConfigNames.IsKey(key) || string.IsNullOrWhiteSpace(description))
        {
            throw new ArgumentException($"option \"{key}\" needs a key of {ConfigNames.Alphabet}, and a description", nameof(key));
        }

        Key = key;
        Description = description;
    }

    /// <summary>The key, as it is written in the file.</summary>
    public string Key { get; }

    /// <summary>What the option does, for a reader of the man page.</summary>
    public string Description { get; }

    /// <summary>Whether a configuration without this key is refused.</summary>
    public abstract bool Required { get; }

    /// <summary>What values are accepted; completes "expected …".</summary>
    public abstract string Expected { get; }

    /// <summary>The placeholder of the value in help texts.</summary>
    public abstract string Placeholder { get; }

    /// <summary>The default as it would be written, or null for a required option.</summary>
    public abstract string? DefaultText { get; }

    internal abstract ConfigValue? Parse(string text, string baseDirectory, ConfigOrigin origin, out string? why);

    internal abstract ConfigValue DefaultValue();
}

/// <summary>A row whose value has the type <typeparamref name="T"/>; made by <see cref="Option"/>.</summary>
public sealed class OptionSpec<T> : OptionSpec
{
    private readonly OptionType<T> _type;
    private readonly T? _default;

    /// <summary>A row with a default, given as text: it must be of the type and in range (our own fault otherwise), or null if required.</summary>
    public OptionSpec(string key, OptionType<T> type, string? defaultText, string description)
        : base(key, description)
    {
        _type = type;
        Required = defaultText is null;
        if (defaultText is not null)
        {
            if (!type.TryParse(defaultText, "/", out T value, out _))
            {
                throw new ArgumentException($"option \"{key}\": default \"{defaultText}\" is not {type.Expected}", nameof(defaultText));
            }

            _default = value;
            DefaultText = defaultText;
        }
    }

    /// <inheritdoc/>
    public override bool Required { get; }

    /// <inheritdoc/>
    public override string Expected => _type.Expected;

    /// <inheritdoc/>
    public override string Placeholder => _type.Placeholder;

    /// <inheritdoc/>
    public override string? DefaultText { get; }

    internal override ConfigValue? Parse(string text, string baseDirectory, ConfigOrigin origin, out string? why) =>
        _type.TryParse(text, baseDirectory, out T value, out why) ? new ConfigValue<T>(value, _type.Format(value), origin) : null;

    internal override ConfigValue DefaultValue() => new ConfigValue<T>(_default!, _type.Format(_default!), ConfigOrigin.Default);
}
