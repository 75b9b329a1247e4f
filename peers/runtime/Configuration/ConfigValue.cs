namespace Archipelago.Runtime.Configuration;

/// <summary>A value in force: as text, and where it comes from.</summary>
public abstract record ConfigValue(string Text, ConfigOrigin Origin);

/// <summary>A value in force with its type.</summary>
internal sealed record ConfigValue<T>(T Value, string Text, ConfigOrigin Origin) : ConfigValue(Text, Origin);
