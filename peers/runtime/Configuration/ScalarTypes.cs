using System.Globalization;

namespace Archipelago.Runtime.Configuration;

/// <summary><c>true</c>, <c>yes</c>, <c>on</c>, <c>1</c> or <c>false</c>, <c>no</c>, <c>off</c>, <c>0</c>, in any letter case.</summary>
public sealed class BooleanType : OptionType<bool>
{
    /// <inheritdoc/>
    public override string Placeholder => "true|false";

    /// <inheritdoc/>
    public override string Expected => "true or false";

    /// <inheritdoc/>
    public override bool TryParse(string text, string baseDirectory, out bool value, out string? why)
    {
        why = null;
        string lower = text.Trim().ToLowerInvariant();
        value = lower is "true" or "yes" or "on" or "1";
        return value || lower is "false" or "no" or "off" or "0";
    }

    /// <inheritdoc/>
    public override string Format(bool value) => value ? "true" : "false";
}

/// <summary>A decimal integer within a range.</summary>
public sealed class IntegerType(long min, long max) : OptionType<long>
{
    /// <inheritdoc/>
    public override string Placeholder => "N";

    /// <inheritdoc/>
    public override string Expected => string.Create(CultureInfo.InvariantCulture, $"an integer from {min} to {max}");

    /// <inheritdoc/>
    public override bool TryParse(string text, string baseDirectory, out long value, out string? why)
    {
        why = null;
        return long.TryParse(text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value)
            && value >= min && value <= max;
    }

    /// <inheritdoc/>
    public override string Format(long value) => value.ToString(CultureInfo.InvariantCulture);
}

/// <summary>A share of a whole, as <c>0.5</c> or <c>50%</c>; the value is 0.5.</summary>
public sealed class RatioType(double min, double max) : OptionType<double>
{
    /// <inheritdoc/>
    public override string Placeholder => "RATIO";

    /// <inheritdoc/>
    public override string Expected => $"a ratio from {Format(min)} to {Format(max)}, such as 0.5 or 50%";

    /// <inheritdoc/>
    public override bool TryParse(string text, string baseDirectory, out double value, out string? why)
    {
        why = null;
        value = 0;
        if (!UnitNumber.TrySplit(text, out decimal number, out string unit) || unit is not ("" or "%"))
        {
            return false;
        }

        value = (double)(unit == "%" ? number / 100 : number);
        return value >= min && value <= max;
    }

    /// <inheritdoc/>
    public override string Format(double value) => value.ToString("0.############", CultureInfo.InvariantCulture);
}

/// <summary>One of a fixed set of words.</summary>
public sealed class ChoiceType<T>((string Word, T Value)[] choices) : OptionType<T>
    where T : struct
{
    /// <inheritdoc/>
    public override string Placeholder => string.Join('|', choices.Select(c => c.Word));

    /// <inheritdoc/>
    public override string Expected => "one of " + string.Join(", ", choices.Select(c => c.Word));

    /// <inheritdoc/>
    public override bool TryParse(string text, string baseDirectory, out T value, out string? why)
    {
        why = null;
        string word = text.Trim();
        foreach ((string name, T candidate) in choices)
        {
            if (string.Equals(name, word, StringComparison.OrdinalIgnoreCase))
            {
                value = candidate;
                return true;
            }
        }

        value = default;
        return false;
    }

    /// <inheritdoc/>
    public override string Format(T value) =>
        choices.First(c => EqualityComparer<T>.Default.Equals(c.Value, value)).Word;
}
