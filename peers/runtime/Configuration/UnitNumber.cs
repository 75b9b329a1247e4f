using System.Globalization;

namespace Archipelago.Runtime.Configuration;

/// <summary>A decimal number with a unit behind it. Exact: no rounding, no binary fractions, overflow is refused.</summary>
internal static class UnitNumber
{
    /// <summary>
    /// Splits <c>1.5 GiB</c> into 1.5 and <c>GiB</c>. Only plain digits with at most one point count: no sign, no exponent, no
    /// thousands separators.
    /// </summary>
    public static bool TrySplit(string text, out decimal number, out string unit)
    {
        ReadOnlySpan<char> trimmed = text.AsSpan().Trim();
        int digits = trimmed.IndexOfAnyExcept("0123456789.");
        ReadOnlySpan<char> head = digits < 0 ? trimmed : trimmed[..digits];
        unit = digits < 0 ? "" : trimmed[digits..].Trim().ToString();
        number = 0;

        // 28 digits are what a decimal holds exactly; more is never meant.
        return head.Length is > 0 and <= 28
            && char.IsAsciiDigit(head[0]) && char.IsAsciiDigit(head[^1])
            && decimal.TryParse(head, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out number);
    }

    /// <summary>The product, if it is a whole number that fits.</summary>
    public static bool TryScale(decimal number, long scale, out long value)
    {
        value = 0;
        if (number > long.MaxValue / (decimal)scale)
        {
            return false;
        }

        decimal product = number * scale;
        if (product != decimal.Truncate(product))
        {
            return false;
        }

        value = (long)product;
        return true;
    }
}
