using Archipelago.Mapperd.Control;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>What volumes take in the store together: bytes and number of objects, each counted once.</summary>
internal sealed record UsageSum(ulong Bytes, ulong Objects)
{
    /// <param name="totals">Of the volumes that were counted.</param>
    /// <param name="volumes">What is known of them; empty if there is but one.</param>
    internal static UsageSum Of(IReadOnlyDictionary<string, UsageTotal> totals, IReadOnlyList<VolumeInfo> volumes)
    {
        var bases = volumes.Where(v => v.Base != null).ToDictionary(v => v.Name, v => v.Base!, StringComparer.Ordinal);
        var sum = new UsageSum(0, 0);
        foreach (var (name, total) in totals)
        {
            // What a clone has of its base counts there, if that is counted, too.
            bool isCounted = bases.TryGetValue(name, out string? from) && totals.ContainsKey(from[..from.IndexOf('@', StringComparison.Ordinal)]);
            sum = new UsageSum(sum.Bytes + total.Bytes - (isCounted ? total.OriginBytes : 0), sum.Objects + total.Objects - (isCounted ? total.OriginObjects : 0));
        }

        return sum;
    }
}
