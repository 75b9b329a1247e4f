using System.Globalization;

namespace Archipelago.Runtime.Configuration;

/// <summary>
/// A duration with its unit: <c>50us</c>, <c>10ms</c>, <c>1.5s</c>, <c>2m</c>, <c>1h</c>, <c>7d</c>. The unit is required (but for 0),
/// since nobody remembers which one a bare number has. Resolution 1 µs.
/// </summary>
public sealed class DurationType(TimeSpan min, TimeSpan max) : OptionType<TimeSpan>
{
    private static readonly (string Unit, long Ticks)[] Units =
    [
        ("d", TimeSpan.TicksPerDay), ("h", TimeSpan.TicksPerHour), ("m", TimeSpan.TicksPerMinute), ("s", TimeSpan.TicksPerSecond),
        ("ms", TimeSpan.TicksPerMillisecond), ("us", TimeSpan.TicksPerMicrosecond), ("µs", TimeSpan.TicksPerMicrosecond),
    ];

    /// <inheritdoc/>
    public override string Placeholder => "DURATION";

    /// <inheritdoc/>
    public override string Expected => $"a duration from {Format(min)} to {Format(max)} with its unit (us, ms, s, m, h, d), such as 10ms";

    /// <inheritdoc/>
    public override bool TryParse(string text, string baseDirectory, out TimeSpan value, out string? why)
    {
        why = null;
        value = default;
        if (!UnitNumber.TrySplit(text, out decimal number, out string unit))
        {
            return false;
        }

        long scale = number == 0 && unit.Length == 0 ? TimeSpan.TicksPerSecond : 0;
        foreach ((string name, long ticks) in Units)
        {
            scale = name == unit ? ticks : scale;
        }

        if (scale == 0 || !UnitNumber.TryScale(number, scale, out long total) || total % TimeSpan.TicksPerMicrosecond != 0)
        {
            return false;
        }

        value = new TimeSpan(total);
        return value >= min && value <= max;
    }

    /// <inheritdoc/>
    public override string Format(TimeSpan value)
    {
        foreach ((string unit, long ticks) in Units)
        {
            if (value.Ticks != 0 && value.Ticks % ticks == 0)
            {
                return (value.Ticks / ticks).ToString(CultureInfo.InvariantCulture) + unit;
            }
        }

        return "0s";
    }
}
