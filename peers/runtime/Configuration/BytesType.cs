using System.Globalization;

namespace Archipelago.Runtime.Configuration;

/// <summary>
/// A size in bytes: <c>512</c>, <c>4k</c>, <c>64M</c>, <c>1.5GiB</c>, <c>2 TB</c>. All units are powers of 1024, in any letter case,
/// with or without <c>B</c> or <c>iB</c>: as with ceph.conf there is no way to write decimal units, so none to confuse them.
/// </summary>
public sealed class BytesType(long min, long max, long multiple = 1) : OptionType<long>
{
    private const string Units = "kMGTPE";

    /// <inheritdoc/>
    public override string Placeholder => "SIZE";

    /// <inheritdoc/>
    public override string Expected =>
        $"a size from {Format(min)} to {Format(max)}" + (multiple > 1 ? $" in steps of {Format(multiple)}" : "") + $", such as {Format(Math.Clamp(64 << 20, min, max))}";

    /// <inheritdoc/>
    public override bool TryParse(string text, string baseDirectory, out long value, out string? why)
    {
        why = null;
        value = 0;
        return UnitNumber.TrySplit(text, out decimal number, out string unit)
            && TryScaleOf(unit, out long scale)
            && UnitNumber.TryScale(number, scale, out value)
            && value >= min && value <= max && value % multiple == 0;
    }

    /// <inheritdoc/>
    public override string Format(long value)
    {
        int power = 0;
        while (power < Units.Length && value != 0 && value % 1024 == 0)
        {
            value /= 1024;
            power++;
        }

        return value.ToString(CultureInfo.InvariantCulture) + (power == 0 ? "" : Units[power - 1]);
    }

    private static bool TryScaleOf(string unit, out long scale)
    {
        scale = 1;
        if (unit.Length == 0 || unit.Equals("B", StringComparison.OrdinalIgnoreCase))
        {
            return true;
        }

        int power = Units.IndexOf(unit[0..1], StringComparison.OrdinalIgnoreCase);
        string rest = unit[1..];
        scale = power < 0 ? 0 : 1L << (10 * (power + 1));
        return power >= 0
            && (rest.Length == 0
                || rest.Equals("B", StringComparison.OrdinalIgnoreCase)
                || rest.Equals("iB", StringComparison.OrdinalIgnoreCase));
    }
}
