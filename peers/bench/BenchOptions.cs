using Archipelago.Runtime.Configuration;

namespace Archipelago.Bench;

/// <summary>What the bench asks of its target.</summary>
public enum BenchOp
{
    /// <summary>Requests without data: what a hop costs.</summary>
    Ping,
    /// <summary>Reads.</summary>
    Read,
    /// <summary>Writes.</summary>
    Write,
    /// <summary>Reads and writes, see <see cref="BenchOptions.ReadShare"/>.</summary>
    Mixed,
    /// <summary>No requests at all: copies private memory, as the yardstick for <see cref="BenchOptions.CopyOut"/>.</summary>
    Copy,
}

/// <summary>In which order blocks are used.</summary>
public enum BenchPattern
{
    /// <summary>One after the other.</summary>
    Sequential,
    /// <summary>Each block once per pass, in an order that the seed decides.</summary>
    Random,
    /// <summary>Few blocks often: block of rank r with a probability ∝ 1 / r^theta.</summary>
    Zipf,
}

/// <summary>How much of what was read is checked.</summary>
public enum BenchVerify
{
    /// <summary>Nothing; writes send whatever the pages hold.</summary>
    None,
    /// <summary>The first eight bytes of each sector.</summary>
    Meta,
    /// <summary>Every byte.</summary>
    Full,
}

/// <summary>One run of the bench. Immutable. The option table is <see cref="BenchTable"/>.</summary>
public sealed record BenchOptions
{
    /// <summary>What to ask for.</summary>
    public BenchOp Op { get; init; } = BenchOp.Read;
    /// <summary>Share of reads in <see cref="BenchOp.Mixed"/>, 0 to 1.</summary>
    public double ReadShare { get; init; } = 0.7;
    /// <summary>Order of blocks.</summary>
    public BenchPattern Pattern { get; init; } = BenchPattern.Random;
    /// <summary>Skew of <see cref="BenchPattern.Zipf"/>, above 0 and below 1.</summary>
    public double Theta { get; init; } = 0.9;
    /// <summary>Bytes per request, a multiple of 512 up to 4 MiB.</summary>
    public int BlockSize { get; init; } = 4096;
    /// <summary>Requests under way.</summary>
    public int Depth { get; init; } = 16;
    /// <summary>Bytes to move in all; 0 for one pass over all blocks, unless <see cref="Duration"/> says otherwise.</summary>
    public long TotalBytes { get; init; }
    /// <summary>How long to measure; zero to go by bytes.</summary>
    public TimeSpan Duration { get; init; }
    /// <summary>How long to run before measuring.</summary>
    public TimeSpan WarmUp { get; init; }
    /// <summary>Objects to spread the blocks over.</summary>
    public long Objects { get; init; } = 64;
    /// <summary>Bytes used of each object, or of the volume (0: all of it).</summary>
    public long ObjectSize { get; init; } = 4 << 20;
    /// <summary>Names of the objects: this and a number.</summary>
    public string Prefix { get; init; } = "bench.";
    /// <summary>Delete at the end the objects that were written and did not exist before. Whoever reads them afterwards does not want that.</summary>
    public bool RemoveObjects { get; init; }
    /// <summary>A volume to use instead of objects; empty for none.</summary>
    public string Volume { get; init; } = "";
    /// <summary>Route of the requests; empty for "cache", or "volumes" with a volume.</summary>
    public string Route { get; init; } = "";
    /// <summary>Flow that requests for objects belong to.</summary>
    public string Flow { get; init; } = "bench";
    /// <summary>What to check.</summary>
    public BenchVerify Verify { get; init; }
    /// <summary>Generation of the content that is there (reads) or that the first pass writes; 0: the blocks read as zeros.</summary>
    public long Generation { get; init; } = 1;
    /// <summary>Copy each byte of a reply to private memory.</summary>
    public bool CopyOut { get; init; }
    /// <summary>FLUSH before the first write and, timed apart, after the last.</summary>
    public bool Flush { get; init; } = true;
    /// <summary>Time every request instead of one in 64.</summary>
    public bool FullLatency { get; init; }
    /// <summary>Fail if the measured phase allocates managed memory.</summary>
    public bool AssertNoAlloc { get; init; }
    /// <summary>Seed of order and content.</summary>
    public long Seed { get; init; } = 1;
    /// <summary>Core to pin the bench's thread to; −1 for none.</summary>
    public int Core { get; init; } = -1;
    /// <summary>Longest spin before the bench sleeps.</summary>
    public TimeSpan Spin { get; init; } = TimeSpan.FromMilliseconds(1);
    /// <summary>How long to wait for somebody to serve the route, and for a FLUSH, OPEN or CLOSE.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>The route in force.</summary>
    public string EffectiveRoute => Route.Length > 0 ? Route : Volume.Length > 0 ? "volumes" : "cache";

    /// <summary>True if the run is bounded by time.</summary>
    public bool IsTimed => Duration > TimeSpan.Zero;

    /// <summary>True if reads happen.</summary>
    public bool Reads => Op is BenchOp.Read or BenchOp.Mixed;

    /// <summary>True if writes happen.</summary>
    public bool Writes => Op is BenchOp.Write or BenchOp.Mixed;

    /// <summary>The options of a checked section made with <see cref="BenchTable.Section"/>.</summary>
    /// <exception cref="ConfigException">EINVAL: options that contradict each other.</exception>
    public static BenchOptions From(ConfigSection section) => BenchTable.Read(section);
}
