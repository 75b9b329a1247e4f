using System.Globalization;
using Archipelago.Bench;
using Archipelago.Cached;
using Archipelago.Experiments.Processes;
using Archipelago.Runtime.Logging;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging;

namespace Archipelago.Experiments.Roles;

/// <summary>
/// 4 KiB hits of a volume with all peers and the client on one reactor: <c>role overhead DIRECTORY KIND read|write SECONDS MIB CORE</c>. Says the rate, p50 and p99
/// (ns), managed bytes per request, and how many reads were no hits. A process per run: how the compiler sees the call of the map depends on which maps it has met before.
/// </summary>
internal static class OverheadRole
{
    /// <summary>No map is asked.</summary>
    internal const string Unmapped = "unmapped";
    /// <summary>A blank volume's map: all objects its own.</summary>
    internal const string Mapped = "mapped";
    /// <summary>A clone, all of whose objects are its snapshot's: for reading.</summary>
    internal const string Inherited = "inherited";
    /// <summary>A clone, all of whose objects were copied up.</summary>
    internal const string CopiedUp = "copied-up";

    private const string Volume = "bench", Clone = "clone";
    private const ulong ObjectBytes = 4 << 20;

    internal static int Run(string[] arguments)
    {
        var (directory, kind, seconds, bytes) = (arguments[0], arguments[1], double.Parse(arguments[3], CultureInfo.InvariantCulture), Number(arguments[4]) << 20);
        var op = arguments[2] == "read" ? BenchOp.Read : BenchOp.Write;
        bool isClone = kind is Inherited or CopiedUp;
        using var logs = LoggingSetup.Create(new LogOptions { Level = LogLevel.Warning });
        using var segment = Segment.Create(directory, new SegmentOptions { Pages = (long)(bytes >> 12) * 4 + 65_536 });
        var options = new BenchOptions
        {
            Op = op,
            Volume = isClone ? Clone : Volume,
            // All of the volume, whatever its size.
            ObjectSize = 0,
            Depth = 1,
            Duration = TimeSpan.FromSeconds(seconds),
            WarmUp = TimeSpan.FromSeconds(Math.Max(1, seconds / 2)),
            Core = (int)Number(arguments[5]),
            Timeout = TimeSpan.FromMinutes(2),
        };
        CacheFigures? cache = null;
        long misses = 0;
        var report = new BenchRunner(options, segment, logs.Factory, async host =>
        {
            cache = await PrepareAsync(host, segment, kind, bytes);
            misses = cache.Misses;
        }).Run();
        if (!report.Ok) throw new InvalidOperationException(string.Join("; ", report.Messages));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{report.RequestsPerSecond} {report.Latency.P50} {report.Latency.P99} {report.AllocatedBytesPerRequest} {cache!.Misses - misses}"));
        return 0;
    }

    private static async Task<CacheFigures> PrepareAsync(PeerHost host, Segment segment, string kind, ulong bytes)
    {
        // Nothing is destaged meanwhile: it would be counted.
        string[] settings = [$"cached.size={bytes * 3}", "cached.policy=writeback", "cached.dirty-age=1h", "cached.dirty-ratio=90%", "cached.destage-ratio=80%"];
        var plans = PeerMaker.Plans(["memd", "cached", "mapperd", kind == Unmapped ? PeerMaker.DirectVlmcd : "vlmcd"], settings);
        foreach (var plan in plans) await host.StartAsync(plan);
        var cache = plans.Select(plan => plan.Peer).OfType<CachedPeer>().Single().Figures;
        var user = new VolumeUser();
        await host.StartAsync(user.Plan);
        await user.CallAsync(XsegOp.Create, Volume, length: bytes);
        Chain.SetWriteBack(segment, Volume);
        // It stays open: beside who writes to it here, the bench's own OPEN for reading is of the same.
        await user.OpenAsync(Volume);
        await user.FillAsync(Volume, bytes);
        if (kind is Unmapped or Mapped) return cache;
        await user.CallAsync(XsegOp.Snapshot, Volume, "s");
        await user.CallAsync(XsegOp.Clone, Clone, $"{Volume}@s");
        Chain.SetWriteBack(segment, Clone);
        await user.OpenAsync(Clone);
        if (kind == CopiedUp) await user.TouchAsync(Clone, 0, ObjectBytes, (int)(bytes / ObjectBytes));
        await user.ReadAsync(Clone, bytes);
        return cache;
    }

    private static ulong Number(string text) => ulong.Parse(text, CultureInfo.InvariantCulture);
}
