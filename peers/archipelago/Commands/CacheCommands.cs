using System.Diagnostics;
using Archipelago.Cached;
using Archipelago.Cli.CommandLine;
using Archipelago.Runtime.Control;

namespace Archipelago.Cli.Commands;

/// <summary>`cache …`: asks the process that hosts the cache.</summary>
internal static class CacheCommands
{
    private static readonly string[] Policies = ["default", "writeback", "writethrough", "off"];
    private static readonly TimeSpan FlushLimit = TimeSpan.FromMinutes(10);

    internal static IEnumerable<CliCommand> Table(CliOption[] client) =>
    [
        new("cache", "the cache"),
        new("cache stats", "show what is cached, in all, by namespace and by volume")
        {
            Description =
            [
                "DEGRADED: yes if the store refused data of the volume, which then writes through until it takes some again; stuck if the store has not answered for "
                    + $"{CachedPeer.StuckAfter.TotalSeconds:0} s. Nothing is lost by either.",
            ],
            Options = client,
            Run = StatsAsync,
        },
        new("cache flush", "make what was written stable in the store")
        {
            Arguments = [new("VOLUME", "Volume to flush; all if it is not given.", Minimum: 0, Shell: Common.VolumeNames)],
            Options = client,
            Run = FlushAsync,
        },
        new("cache policy", "change how a volume, images or maps are cached")
        {
            Description =
            [
                "writeback answers a write when the cache holds it: a crash of the host loses what was not flushed. writethrough answers when the store has it. "
                    + "off caches nothing. default is what [cached] says. Data that may not be dirty any more is destaged before the command is done. "
                    + "The policy holds as long as the segment: until `down` removes it.",
                "images: what clones and snapshots share and never changes, cached once for all; writethrough keeps it, off does not. maps: metadata that is sent through the cache.",
            ],
            Arguments = [new("VOLUME", "The volume, which must have been opened on this host; or images, or maps.", Shell: Common.VolumeNames), new("POLICY", "The policy.", Words: Policies)],
            Options =
            [
                .. client,
                new("--volume", null, "VOLUME is a volume, also if it is named images or maps."),
                new("--safe-until-flush", "YES|NO", "Whether writeback holds only after the first FLUSH since the volume was opened, which proves that its user flushes. Default: yes.", Words: ["yes", "no"]),
            ],
            Run = PolicyAsync,
        },
    ];

    private static async Task<int> StatsAsync(Invocation invocation, CancellationToken cancel)
    {
        Show(invocation, await AskCacheAsync(invocation, c => c.GetAsync("/v1/cache", CacheJson.Default.CacheStatistics, cancel), Common.AnswerLimit));
        return ExitCode.Ok;
    }

    private static async Task<int> FlushAsync(Invocation invocation, CancellationToken cancel)
    {
        string volume = invocation.Argument("VOLUME");
        long start = Stopwatch.GetTimestamp();
        var request = new CacheFlush(volume.Length > 0 ? volume : null);
        var report = await AskCacheAsync(invocation, c => c.PostAsync("/v1/cache/flush", request, CacheJson.Default.CacheFlush, CacheJson.Default.CacheStatistics, cancel));
        if (invocation.Json) Show(invocation, report);
        else Invocation.Write($"stable after {Invocation.Nanoseconds(Stopwatch.GetElapsedTime(start).TotalNanoseconds)}");
        return ExitCode.Ok;
    }

    private static async Task<int> PolicyAsync(Invocation invocation, CancellationToken cancel)
    {
        string policy = invocation.Argument("POLICY");
        if (!Policies.Contains(policy)) throw new UsageException($"POLICY: expected {string.Join(", ", Policies)}, found {policy}");
        bool safe = invocation.Get("--safe-until-flush") switch
        {
            null or "yes" => true,
            "no" => false,
            string other => throw new UsageException($"--safe-until-flush: expected yes or no, found {other}"),
        };
        string target = invocation.Argument("VOLUME");
        bool isSpace = target is CachedPeer.Images or CachedPeer.Maps && !invocation.Has("--volume");
        if (isSpace && policy == "writeback") throw new UsageException($"POLICY: {target} are never dirty: expected default, writethrough or off, found {policy} (a volume of that name: --volume)");
        var change = new CachePolicyChange(isSpace ? null : target, policy, safe, isSpace ? target : null);
        Show(invocation, await AskCacheAsync(invocation, c => c.PutAsync("/v1/cache/policy", change, CacheJson.Default.CachePolicyChange, CacheJson.Default.CacheStatistics, cancel)));
        return ExitCode.Ok;
    }

    /// <summary>Of several processes only one hosts the cache; the others do not know the path.</summary>
    private static Task<CacheStatistics> AskCacheAsync(Invocation invocation, Func<ControlClient, Task<CacheStatistics>> ask, TimeSpan? limit = null) =>
        Common.AskHostAsync(invocation, ServiceName, ask, limit ?? FlushLimit);

    private const string ServiceName = "cached";

    private static void Show(Invocation invocation, CacheStatistics s)
    {
        if (invocation.Json)
        {
            Invocation.WriteJson(s, CacheJson.Default.CacheStatistics);
            return;
        }

        double looks = Math.Max(1, s.Hits + s.Misses);
        Invocation.WriteFields(
            ("capacity", Invocation.Size(s.CapacityBytes)),
            ("cached", $"{Invocation.Size(s.CachedBytes)} of {Invocation.Count(s.Objects, "object")}"),
            ("dirty", $"{Invocation.Size(s.DirtyBytes)}, oldest {Invocation.Number(s.OldestDirtySeconds, "0.0")} s; written, not yet stable {Invocation.Size(s.WrittenBytes)}"),
            ("free", $"{Invocation.Size(s.FreeBytes)}, in limbo {Invocation.Size(s.LimboBytes)}"),
            ("reads", $"{Invocation.Number(s.Hits)} hits, {Invocation.Number(s.Misses)} misses ({Invocation.Number(100 * s.Hits / looks, "0.0")} % hits)"),
            ("writes", Invocation.Number(s.Writes)),
            ("evictions", Invocation.Number(s.Evictions)),
            ("destaging", $"{Invocation.Number(s.DestageWrites)} writes, {Invocation.Size(s.DestagedBytes)}, {s.DestageInFlight} in flight{(s.OldestDestageSeconds > 0 ? $", oldest {Invocation.Number(s.OldestDestageSeconds, "0.0")} s" : "")}, {Invocation.Number(s.DestageErrors)} errors"),
            ("damage", $"quarantined {Invocation.Size(s.QuarantinedBytes)}; {Invocation.Number(s.DamagedPages)} page and {Invocation.Number(s.DamagedObjects)} object entries found damaged"));
        Invocation.Write("");
        Invocation.WriteTable(
            ["NAMESPACE", ">CACHED", ">AT MOST", "POLICY", "IN FORCE", ">HITS", ">MISSES"],
            s.Namespaces.Select(n => (string[])
            [
                n.Namespace, Invocation.Size(n.CachedBytes), Invocation.Size(n.MostBytes ?? s.CapacityBytes), n.Policy, n.InForce, Invocation.Number(n.Hits), Invocation.Number(n.Misses),
            ]));
        if (s.Flows.Count == 0) return;
        Invocation.Write("");
        Invocation.WriteTable(
            ["VOLUME", ">CACHED", ">DIRTY", "POLICY", "IN FORCE", "SAFE", "FLUSHED", "DEGRADED", ">HITS", ">MISSES", ">WRITES"],
            s.Flows.OrderBy(f => f.Volume, StringComparer.Ordinal).Select(f => (string[])
            [
                f.Volume, Invocation.Size(f.CachedBytes), Invocation.Size(f.DirtyBytes), f.Policy, f.InForce, YesNo(f.SafeUntilFlush), YesNo(f.HasFlushed), f.Stuck ? "stuck" : YesNo(f.Degraded),
                Invocation.Number(f.Hits), Invocation.Number(f.Misses), Invocation.Number(f.Writes),
            ]));
    }

    private static string YesNo(bool value) => value ? "yes" : "no";
}
