namespace Archipelago.Runtime.Configuration;

/// <summary>
/// How the text of an option becomes a value: one instance per option, with its range. Stateless and safe for any thread.
/// </summary>
public abstract class OptionType<T>
{
    /// <summary>What is accepted, as it completes "expected …": <c>a size from 4k to 1T, such as 64M</c>.</summary>
    public abstract string Expected { get; }

    /// <summary>The placeholder in help texts: <c>SIZE</c>.</summary>
    public abstract string Placeholder { get; }

    /// <summary>
    /// Reads a value. Relative paths are resolved against <paramref name="baseDirectory"/>. False for anything that is not exactly of
    /// this type and in its range; <paramref name="why"/> may then say more than that.
    /// </summary>
    public abstract bool TryParse(string text, string baseDirectory, out T value, out string? why);

    /// <summary>The value as it is written in a file: <see cref="TryParse"/> reads it back as the same value.</summary>
    public abstract string Format(T value);
}
