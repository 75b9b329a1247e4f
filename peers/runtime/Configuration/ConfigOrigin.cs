using System.Globalization;

namespace Archipelago.Runtime.Configuration;

/// <summary>
/// Where a value was written. <paramref name="Source"/> is a file's path, <c>environment ARCHIPELAGO_LOG_LEVEL</c>,
/// <c>--set log.level=debug</c> or <c>default</c>; <paramref name="Line"/> counts from 1 and is 0 where there are no lines.
/// </summary>
public readonly record struct ConfigOrigin(string Source, int Line = 0)
{
    /// <summary>The origin of values that nobody wrote.</summary>
    public static ConfigOrigin Default { get; } = new("default");

    /// <summary><c>file:line</c>, or the source alone.</summary>
    public override string ToString() =>
        Line > 0 ? string.Create(CultureInfo.InvariantCulture, $"{Source}:{Line}") : Source;
}
