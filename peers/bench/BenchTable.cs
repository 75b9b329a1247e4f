using Archipelago.Runtime.Configuration;

namespace Archipelago.Bench;

/// <summary>The option table of the bench: the one source of its command line, help text and checks.</summary>
public static class BenchTable
{
    private const long MaxBytes = 1L << 60;

    private static readonly OptionSpec<BenchOp> Op = Option.Choice(
        "op", "read",
        "What to ask of the target. mixed draws reads and writes by --read-ratio. ping moves no data and measures a hop. copy sends no "
        + "requests: it copies private memory block by block, the yardstick for --copy-out.",
        ("ping", BenchOp.Ping), ("read", BenchOp.Read), ("write", BenchOp.Write), ("mixed", BenchOp.Mixed), ("copy", BenchOp.Copy));

    private static readonly OptionSpec<double> ReadRatio = Option.Ratio(
        "read-ratio", "0.7", 0, 1, "Share of reads in --op mixed.");

    private static readonly OptionSpec<BenchPattern> Pattern = Option.Choice(
        "pattern", "rand",
        "Order of the blocks. rand uses each block once per pass, in an order decided by --seed; zipf draws block ranks with a "
        + "probability proportional to 1 / rank^theta.",
        ("seq", BenchPattern.Sequential), ("rand", BenchPattern.Random), ("zipf", BenchPattern.Zipf));

    private static readonly OptionSpec<double> Theta = Option.Ratio("theta", "0.9", 0.01, 0.99, "Skew of --pattern zipf.");

    private static readonly OptionSpec<long> BlockSize = Option.Bytes(
        "block-size", "4k", 512, 4 << 20, "Bytes per request.", 512);

    private static readonly OptionSpec<long> Depth = Option.Integer("depth", "16", 1, 65536, "Requests under way at once.");

    private static readonly OptionSpec<long> Total = Option.Bytes(
        "total", "0", 0, MaxBytes,
        "Bytes to move. 0, unless --seconds bounds the run, means one pass: every block once (and one million requests for ping).");

    private static readonly OptionSpec<TimeSpan> Seconds = Option.Duration(
        "seconds", "0s", TimeSpan.Zero, TimeSpan.FromDays(7), "How long to measure. 0 goes by --total.");

    private static readonly OptionSpec<TimeSpan> WarmUp = Option.Duration(
        "warm-up", "0s", TimeSpan.Zero, TimeSpan.FromHours(1), "How long to send the same requests before measuring begins.");

    private static readonly OptionSpec<long> Objects = Option.Integer(
        "objects", "64", 1, 1 << 22, "Number of objects that the blocks are spread over.");

    private static readonly OptionSpec<long> ObjectSize = Option.Bytes(
        "object-size", "4M", 512, MaxBytes,
        "Bytes used of each object (at most 4M); with --volume the bytes used of the volume, which is all of it if this is not given.", 512);

    private static readonly OptionSpec<string> Prefix = Option.Text(
        "prefix", "bench.", "Beginning of the objects' names; an eight-digit number follows.", 0, 200);

    private static readonly OptionSpec<bool> Keep = Option.Boolean(
        "keep", "false", "Leave the objects that were written in the store, for example to read them in a later run. Without it those that did not exist before are deleted after a run.");

    private static readonly OptionSpec<string> Volume = Option.Text(
        "volume", "", "Name of a volume to use instead of objects. It is opened first and closed at the end. Writes need --overwrite-data.", 0, 89);

    private static readonly OptionSpec<bool> OverwriteData = Option.Boolean(
        "overwrite-data", "false", "With --volume: allow --op write and mixed. What the volume holds is LOST.");

    private static readonly OptionSpec<string> Route = Option.Text(
        "route", "", "Route that leads to the target. Without it: \"volumes\" with --volume, else \"cache\".", 0, 32);

    private static readonly OptionSpec<string> Flow = Option.Text(
        "flow", "bench", "Name of the flow that requests for objects belong to. With --volume the volume's own flow is used.", 1, 256);

    private static readonly OptionSpec<BenchVerify> Verify = Option.Choice(
        "verify", "none",
        "Content written and checked. It is a function of seed, object, place and generation, so that misplaced, torn and stale data are "
        + "found. meta writes and checks the first eight bytes of each 512 B sector, full every byte.",
        ("none", BenchVerify.None), ("meta", BenchVerify.Meta), ("full", BenchVerify.Full));

    private static readonly OptionSpec<long> Generation = Option.Integer(
        "generation", "1", 0, 1_000_000,
        "Generation of the content: what --op read and mixed expect to find, and what the first pass of --op write writes (each further "
        + "pass writes one more). 0 expects zeros: blocks that were never written.");

    private static readonly OptionSpec<bool> CopyOut = Option.Boolean(
        "copy-out", "false", "Copy every byte that was read to private memory.");

    private static readonly OptionSpec<bool> Flush = Option.Boolean(
        "flush", "true",
        "One FLUSH before the warm-up, if there are writes (it ends the phase in which a cache writes through to be safe), and one after "
        + "the last write, whose time is counted in a second figure.");

    private static readonly OptionSpec<bool> FullLatency = Option.Boolean(
        "full-latency", "false", "Time every request. Without it one in 64 is timed, which costs less than a nanosecond per request.");

    private static readonly OptionSpec<bool> AssertNoAlloc = Option.Boolean(
        "assert-no-alloc", "false", "Fail if the bench's thread allocates more managed memory in the measured phase than 256 bytes, which the runtime may need once.");

    private static readonly OptionSpec<long> Seed = Option.Integer("seed", "1", 0, long.MaxValue, "Seed of the order and of the content.");

    private static readonly OptionSpec<long> Core = Option.Integer(
        "core", "-1", -1, 1023, "CPU core that the bench's thread is pinned to; -1 leaves it to the kernel.");

    private static readonly OptionSpec<TimeSpan> Spin = Option.Duration(
        "spin", "1ms", TimeSpan.Zero, TimeSpan.FromSeconds(1), "How long the bench polls for replies before it sleeps.");

    private static readonly OptionSpec<TimeSpan> Timeout = Option.Duration(
        "timeout", "60s", TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1),
        "How long to wait until somebody serves the route, and for OPEN, FLUSH and CLOSE.");

    /// <summary>The table.</summary>
    public static readonly SectionSpec Section = SectionSpec.Single(
        "bench",
        "Sends requests to a peer and measures: requests and bytes per second, latency percentiles, CPU time, managed allocation.",
        [
            Op, ReadRatio, Pattern, Theta, BlockSize, Depth, Total, Seconds, WarmUp, Objects, ObjectSize, Prefix, Keep, Volume, OverwriteData, Route, Flow,
            Verify, Generation, CopyOut, Flush, FullLatency, AssertNoAlloc, Seed, Core, Spin, Timeout,
        ]);

    /// <summary>A pattern as the option names it.</summary>
    internal static string NameOf(BenchPattern pattern) => pattern switch
    {
        BenchPattern.Sequential => "seq",
        BenchPattern.Zipf => "zipf",
        _ => "rand",
    };

    internal static BenchOptions Read(ConfigSection section)
    {
        string volume = section.Get(Volume);
        long objectSize = section.Get(ObjectSize);
        if (volume.Length > 0 && !section.IsSet(ObjectSize)) objectSize = 0;
        if (volume.Length == 0 && objectSize > 4 << 20) throw section.Refuse(ObjectSize, "at most 4M, the largest object");
        bool writes = section.Get(Op) is BenchOp.Write or BenchOp.Mixed;
        if (volume.Length > 0 && writes && !section.Get(OverwriteData))
            throw section.Refuse(Volume, "--overwrite-data as well, for writes overwrite what the volume holds");
        long block = section.Get(BlockSize);
        if (objectSize != 0 && objectSize < block) throw section.Refuse(ObjectSize, $"at least the block size of {block} bytes");
        var verify = section.Get(Verify);
        if (verify != BenchVerify.None && section.Get(Op) == BenchOp.Write && section.Get(Generation) == 0)
            throw section.Refuse(Generation, "1 or more for writes");
        return new BenchOptions
        {
            Op = section.Get(Op),
            ReadShare = section.Get(ReadRatio),
            Pattern = section.Get(Pattern),
            Theta = section.Get(Theta),
            BlockSize = (int)block,
            Depth = (int)section.Get(Depth),
            TotalBytes = section.Get(Total),
            Duration = section.Get(Seconds),
            WarmUp = section.Get(WarmUp),
            Objects = volume.Length > 0 ? 1 : section.Get(Objects),
            ObjectSize = objectSize,
            Prefix = section.Get(Prefix),
            RemoveObjects = writes && volume.Length == 0 && !section.Get(Keep),
            Volume = volume,
            Route = section.Get(Route),
            Flow = section.Get(Flow),
            Verify = verify,
            Generation = section.Get(Generation),
            CopyOut = section.Get(CopyOut),
            Flush = section.Get(Flush),
            FullLatency = section.Get(FullLatency),
            AssertNoAlloc = section.Get(AssertNoAlloc),
            Seed = section.Get(Seed),
            Core = (int)section.Get(Core),
            Spin = section.Get(Spin),
            Timeout = section.Get(Timeout),
        };
    }
}
