using System.Globalization;

namespace Archipelago.Experiments.Measure;

/// <summary>Numbers for people.</summary>
internal static class Units
{
    internal static string Rate(double perSecond) => perSecond switch
    {
        >= 1e6 => string.Create(CultureInfo.InvariantCulture, $"{perSecond / 1e6:0.00} M/s"),
        >= 1e3 => string.Create(CultureInfo.InvariantCulture, $"{perSecond / 1e3:0.0} k/s"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{perSecond:0}/s"),
    };

    internal static string Short(double value) => Math.Abs(value) switch
    {
        >= 1e6 => string.Create(CultureInfo.InvariantCulture, $"{value / 1e6:0.00} M"),
        >= 1e4 => string.Create(CultureInfo.InvariantCulture, $"{value / 1e3:0.0} k"),
        >= 100 => string.Create(CultureInfo.InvariantCulture, $"{value:0}"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{value:0.###}"),
    };
}
