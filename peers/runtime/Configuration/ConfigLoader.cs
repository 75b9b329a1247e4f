using System.Text;

namespace Archipelago.Runtime.Configuration;

/// <summary>
/// Puts a <see cref="Config"/> together from its sources and checks it against the option tables. All faults of all sources are
/// collected and thrown as one <see cref="ConfigException"/>; a value that a later source overrides is checked all the same.
/// </summary>
public sealed class ConfigLoader
{
    private readonly ConfigSchema _schema;
    private readonly ConfigSources _sources;
    private readonly List<ConfigError> _errors = [];
    private readonly List<SectionDraft> _drafts = [];

    private ConfigLoader(ConfigSchema schema, ConfigSources sources)
    {
        _schema = schema;
        _sources = sources;
    }

    /// <summary>The configuration in force.</summary>
    /// <exception cref="ConfigException">EINVAL, with every fault.</exception>
    public static Config Load(ConfigSchema schema, ConfigSources sources)
    {
        var loader = new ConfigLoader(schema, sources);
        loader.AddSingles();
        loader.AddFile();
        IReadOnlyList<Assignment> settings = loader.ReadSettings();
        loader.ChooseTables(settings);
        loader.ApplySettings([.. sources.Derived.Select(d => new Assignment(d.Section, d.Key, d.Value, new ConfigOrigin(d.From)))]);
        loader.ApplyFile();
        loader.ApplyEnvironment();
        loader.ApplySettings(settings);
        ConfigSection[] sections = [.. loader._drafts.Where(d => d.Spec is not null).Select(d => d.Finish(loader._errors))];
        return loader._errors.Count == 0 ? new Config(sections) : throw new ConfigException(loader._errors);
    }

    private void AddSingles()
    {
        foreach (SectionSpec spec in _schema.Sections.Where(s => !s.IsNamed))
        {
            _drafts.Add(new SectionDraft(spec.Kind, ConfigOrigin.Default) { Spec = spec });
        }
    }

    private void AddFile()
    {
        IniDocument document = _sources switch
        {
            { File: { } file } => IniParser.ParseFile(file),
            { BuiltIn: { } text } => IniParser.Parse("(built-in configuration)", Encoding.UTF8.GetBytes(text)),
            _ => IniDocument.Empty,
        };
        _errors.AddRange(document.Errors);
        foreach (IniSection section in document.Sections)
        {
            if (!_schema.OfKind(section.Name).Any())
            {
                _errors.Add(new ConfigError(section.Origin, section.Name, null, KnownSections(section.Name), $"[{section.Name}]"));
                continue;
            }

            SectionDraft draft = FindOrAdd(section.Name, section.Origin);
            draft.Write(section.Origin);
            draft.Entries = section.Entries;
        }
    }

    private List<Assignment> ReadSettings()
    {
        var settings = new List<Assignment>();
        foreach (string setting in _sources.Settings)
        {
            var origin = new ConfigOrigin($"--set {setting.ReplaceLineEndings(" ")}");
            int equals = setting.IndexOf('=');
            string target = equals < 0 ? setting : setting[..equals].Trim();
            int dot = target.LastIndexOf('.');
            string section = dot < 0 ? "" : target[..dot];
            string key = target[(dot + 1)..];
            if (equals < 0 || !ConfigNames.IsSection(section) || !ConfigNames.IsKey(key))
            {
                _errors.Add(new ConfigError(origin, null, null, "section.key=value", ConfigError.Quote(setting)));
            }
            else if (!_schema.OfKind(section).Any())
            {
                _errors.Add(new ConfigError(origin, section, key, KnownSections(section), $"[{section}]"));
            }
            else
            {
                FindOrAdd(section, origin).Write(origin);
                settings.Add(new Assignment(section, key, setting[(equals + 1)..].Trim(), origin));
            }
        }

        return settings;
    }

    // Which table a [kind.name] has may hang on its `type`, so this comes before any other key is read.
    private void ChooseTables(IReadOnlyList<Assignment> settings)
    {
        foreach (SectionDraft draft in _drafts.Where(d => d.Spec is null))
        {
            SectionSpec[] tables = [.. _schema.OfKind(draft.Name)];
            if (tables is [{ VariantName: null } only])
            {
                draft.Spec = only;
                continue;
            }

            (string type, ConfigOrigin origin) = (draft.Instance, draft.Origin);
            bool typed = false;
            if (draft.Entries.FirstOrDefault(e => e.Key == SectionSpec.TypeKey) is { } entry)
            {
                (type, origin, typed) = (entry.Value, entry.Origin, true);
            }

            string variable = ConfigNames.Variable(draft.Name, SectionSpec.TypeKey);
            if (_sources.Environment.TryGetValue(variable, out string? fromEnvironment))
            {
                (type, origin, typed) = (fromEnvironment, new ConfigOrigin($"environment {variable}"), true);
            }

            if (settings.LastOrDefault(s => s.Section == draft.Name && s.Key == SectionSpec.TypeKey) is { } setting)
            {
                (type, origin, typed) = (setting.Value, setting.Origin, true);
            }

            draft.Spec = Array.Find(tables, t => t.VariantName == type);
            if (draft.Spec is null)
            {
                string known = string.Join(", ", tables.Select(t => t.VariantName));
                string expected = typed ? $"one of {known}" : $"a key type with one of {known} (or a section of that name)";
                _errors.Add(new ConfigError(
                    origin, draft.Name, SectionSpec.TypeKey, expected, typed ? ConfigError.Quote(type) : "none"));
            }
        }
    }

    private void ApplyFile()
    {
        string directory = Path.GetDirectoryName(Path.GetFullPath(_sources.File ?? "x", _sources.WorkingDirectory)) ?? "/";
        foreach (SectionDraft draft in _drafts)
        {
            foreach (IniEntry entry in draft.Entries)
            {
                draft.Set(entry.Key, entry.Value, directory, entry.Origin, _errors);
            }
        }
    }

    private void ApplySettings(IReadOnlyList<Assignment> settings)
    {
        foreach (Assignment setting in settings)
        {
            FindOrAdd(setting.Section, setting.Origin)
                .Set(setting.Key, setting.Value, _sources.WorkingDirectory, setting.Origin, _errors);
        }
    }

    private void ApplyEnvironment()
    {
        foreach ((string name, string value) in _sources.Environment.OrderBy(v => v.Key, StringComparer.Ordinal))
        {
            if (!name.StartsWith(ConfigNames.EnvironmentPrefix, StringComparison.Ordinal) || _sources.ReservedVariables.Contains(name))
            {
                continue;
            }

            var origin = new ConfigOrigin($"environment {name}");
            (SectionDraft Draft, string Key)[] targets = [.. _drafts.SelectMany(d => d.KeysOf(name).Select(k => (d, k)))];
            switch (targets)
            {
                case [(SectionDraft draft, string key)]:
                    draft.Write(origin);
                    draft.Set(key, value, _sources.WorkingDirectory, origin, _errors);
                    break;
                case [] when _drafts.Exists(d => d.Spec is null && name.StartsWith(ConfigNames.Variable(d.Name, ""), StringComparison.Ordinal)):
                    break; // Of a section whose type is unknown: that is the error to report.
                case []:
                    _errors.Add(new ConfigError(
                        origin, null, null, "ARCHIPELAGO_<SECTION>_<KEY> of an option, or of a section that the file or --set names", "an unknown variable"));
                    break;
                default:
                    string all = string.Join(" and ", targets.Select(t => $"[{t.Draft.Name}] {t.Key}"));
                    _errors.Add(new ConfigError(origin, null, null, "a variable that means one option (use --set)", $"one that means {all}"));
                    break;
            }
        }
    }

    private SectionDraft FindOrAdd(string name, ConfigOrigin origin)
    {
        SectionDraft? draft = _drafts.Find(d => d.Name == name);
        if (draft is null)
        {
            draft = new SectionDraft(name, origin);
            _drafts.Add(draft);
        }

        return draft;
    }

    private string KnownSections(string name) =>
        $"one of the sections {string.Join(", ", _schema.Titles.Select(t => $"[{t}]"))}"
        + (ConfigNames.Nearest(name, _schema.Titles) is { } near ? $" (did you mean [{near}]?)" : "");

    private sealed record Assignment(string Section, string Key, string Value, ConfigOrigin Origin);
}
