using System.Diagnostics;
using System.Globalization;
using Archipelago.Cached;
using Archipelago.Mapperd;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;

namespace Archipelago.Experiments.Roles;

/// <summary>
/// What the serving process is told to do with volumes, a line each; the answer is numbers, or "error: " and a sentence. Durations are nanoseconds.
/// <c>call OP TARGET SOURCE|- BYTES</c>, <c>open NAME</c>, <c>close NAME</c>, <c>touch NAME OFFSET STEP COUNT</c> (4 KiB each, a duration each), <c>fill NAME
/// BYTES</c>, <c>read NAME BYTES</c>, <c>rest</c> (until nothing is removed in the background), <c>cache</c> (bytes cached, misses, hits), <c>memory</c> (bytes:
/// managed and in use, private and resident).
/// </summary>
internal sealed class VolumeCommands(Reactor reactor, IReadOnlyList<PeerPlan> plans, VolumeUser user)
{
    /// <summary>Carries a line out; null if it is none of these.</summary>
    internal string? Answer(string line)
    {
        try
        {
            return line.Split(' ') switch
            {
                ["call", var op, var target, var source, var bytes] =>
                    On(() => user.CallAsync(Enum.Parse<XsegOp>(op, ignoreCase: true), target, source == "-" ? "" : source, Number(bytes))),
                ["open", var name] => On(() => user.OpenAsync(name)),
                ["close", var name] => On(() => user.CloseAsync(name)),
                ["touch", var name, var offset, var step, var count] => string.Join(' ', reactor.CallAsync(() => user.TouchAsync(name, Number(offset), Number(step), (int)Number(count))).GetAwaiter().GetResult()),
                ["fill", var name, var bytes] => On(() => user.FillAsync(name, Number(bytes))),
                ["read", var name, var bytes] => On(() => user.ReadAsync(name, Number(bytes))),
                ["rest"] => On(RestAsync),
                ["cache"] => Cache(),
                ["memory"] => Memory(),
                _ => null,
            };
        }
        catch (ErrnoException refused)
        {
            return $"error: {refused.Message}";
        }
    }

    private async Task<long> RestAsync()
    {
        long start = Stopwatch.GetTimestamp();
        while (plans.Select(plan => plan.Peer).OfType<MapperdPeer>().Any(peer => peer.Removals > 0)) await reactor.Delay(TimeSpan.FromMilliseconds(1));
        return Stopwatch.GetTimestamp() - start;
    }

    private string Cache()
    {
        var figures = plans.Select(plan => plan.Peer).OfType<CachedPeer>().Single().Figures;
        return $"{figures.CachedBytes} {figures.Misses} {figures.Hits}";
    }

    private static string Memory()
    {
        // What nobody refers to is no memory of a volume.
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        string field = File.ReadLines("/proc/self/status").First(line => line.StartsWith("RssAnon:", StringComparison.Ordinal));
        return $"{GC.GetTotalMemory(forceFullCollection: true)} {Number(field.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) * 1024}";
    }

    private string On(Func<Task<long>> work) => reactor.CallAsync(work).GetAwaiter().GetResult().ToString(CultureInfo.InvariantCulture);

    private static ulong Number(string text) => ulong.Parse(text, CultureInfo.InvariantCulture);
}
