namespace Archipelago.Runtime.Configuration;

/// <summary>A section while its sources are laid over each other.</summary>
internal sealed class SectionDraft(string name, ConfigOrigin origin)
{
    private readonly Dictionary<string, ConfigValue> _values = new(StringComparer.Ordinal);

    // Keys whose text was refused: reported already, so not also as missing.
    private readonly HashSet<string> _refused = new(StringComparer.Ordinal);

    public string Name => name;

    public string Instance => name[(name.IndexOf('.') + 1)..];

    /// <summary>Where it was first written.</summary>
    public ConfigOrigin Origin { get; private set; } = origin;

    public SectionSpec? Spec { get; set; }

    public bool IsWritten { get; private set; }

    public IReadOnlyList<IniEntry> Entries { get; set; } = [];

    public void Write(ConfigOrigin from)
    {
        if (!IsWritten) Origin = from;
        IsWritten = true;
    }

    public void Set(string key, string text, string baseDirectory, ConfigOrigin from, List<ConfigError> errors)
    {
        if (Spec is null || (Spec.VariantName is not null && key == SectionSpec.TypeKey))
        {
            return;
        }

        OptionSpec? option = Spec.Find(key);
        if (option is null)
        {
            string? near = ConfigNames.Nearest(key, Spec.Keys.Keys);
            string expected = $"a key of [{Spec.Title}]" + (near is null ? $" ({string.Join(", ", Spec.Keys.Keys)})" : $" (did you mean {near}?)");
            errors.Add(new ConfigError(from, name, key, expected, "an unknown key"));
            return;
        }

        if (option.Parse(text, baseDirectory, from, out string? why) is { } value)
        {
            _values[key] = value;
            return;
        }

        _refused.Add(key);
        errors.Add(new ConfigError(from, name, key, option.Expected, why ?? ConfigError.Quote(text)));
    }

    /// <summary>The keys of this section that an environment variable may mean.</summary>
    public IEnumerable<string> KeysOf(string variable)
    {
        string prefix = ConfigNames.Variable(name, "");
        if (Spec is null || !variable.StartsWith(prefix, StringComparison.Ordinal))
        {
            yield break;
        }

        string rest = variable[prefix.Length..];
        bool declared = false;
        IEnumerable<string> keys = Spec.VariantName is null ? Spec.Keys.Keys : Spec.Keys.Keys.Append(SectionSpec.TypeKey);
        foreach (string key in keys.Concat(Entries.Select(e => e.Key)).Distinct())
        {
            if (ConfigNames.Upper(key) == rest)
            {
                declared = true;
                yield return key;
            }
        }

        string open = rest.ToLowerInvariant().Replace('_', '-');
        if (!declared && Spec.AnyKey is not null && ConfigNames.IsKey(open))
        {
            yield return open;
        }
    }

    public ConfigSection Finish(List<ConfigError> errors)
    {
        SectionSpec spec = Spec!;
        var all = new Dictionary<string, ConfigValue>(StringComparer.Ordinal);
        if (spec.VariantName is not null)
        {
            all.Add(SectionSpec.TypeKey, new ConfigValue<string>(spec.VariantName, spec.VariantName, Origin));
        }

        foreach (OptionSpec option in spec.Options)
        {
            if (_values.Remove(option.Key, out ConfigValue? value))
            {
                all.Add(option.Key, value);
            }
            else if (!option.Required)
            {
                all.Add(option.Key, option.DefaultValue());
            }
            else if (!_refused.Contains(option.Key))
            {
                errors.Add(new ConfigError(Origin, name, option.Key, option.Expected + " (this key is required)", "none"));
            }
        }

        foreach ((string key, ConfigValue value) in _values)
        {
            all.Add(key, value);
        }

        return new ConfigSection(name, spec, IsWritten, Origin, all);
    }
}
