using System.Numerics;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;

namespace Archipelago.Mapperd;

/// <summary>What mapperd is told by the configuration.</summary>
public sealed record MapperdOptions
{
    /// <summary>Smallest object size: one page.</summary>
    public const int MinObjectSize = 4096;
    /// <summary>Largest object size: what one request carries, 4 MiB.</summary>
    public const int MaxObjectSize = 4 << 20;
    /// <summary>Pages that the peer should get for its own requests and for the maps that it lends.</summary>
    public const int RecommendedPages = 512;

    /// <summary>See <see cref="Blocks"/>.</summary>
    public static readonly OptionSpec<string> BlocksOption = Option.Text("blocks", "blocks",
        "Route of maps, names and locks: a blocker, not a cache, so that every host sees the same.", 1, 32);
    /// <summary>See <see cref="Objects"/>.</summary>
    public static readonly OptionSpec<string> ObjectsOption = Option.Text("objects", "cache",
        "Route of the volumes' objects, as in [vlmcd]: they are copied up, deleted and hashed there.", 1, 32);
    /// <summary>See <see cref="ObjectSize"/>.</summary>
    public static readonly OptionSpec<long> ObjectSizeOption = Option.Bytes("object-size", "4MiB", MinObjectSize, MaxObjectSize,
        "Object size of new volumes, a power of two. A volume keeps the object size that it was created with.", MinObjectSize);
    /// <summary>See <see cref="Lease"/>.</summary>
    public static readonly OptionSpec<TimeSpan> LeaseOption = Option.Duration("lease", "60s", TimeSpan.FromSeconds(1), TimeSpan.FromHours(24),
        "How long a host that has a volume open for writing may be silent before another host may take the volume over. It says so three times as often.");
    /// <summary>See <see cref="Memory"/>.</summary>
    public static readonly OptionSpec<long> MemoryOption = Option.Bytes("memory", "64MiB", 1 << 20, 1L << 36,
        "Most memory for chunks of maps that are kept, of all volumes together.", 1 << 16);
    /// <summary>See <see cref="FanOut"/>.</summary>
    public static readonly OptionSpec<long> FanOutOption = Option.Integer("fan-out", "16", 1, 256,
        "Most objects that one operation (flatten, hash) works on at once. Deletions in the background take at most 2.");

    /// <summary>Route of metadata.</summary>
    public string Blocks { get; init; } = "blocks";
    /// <summary>Route of data.</summary>
    public string Objects { get; init; } = "cache";
    /// <summary>Object size of new volumes, bytes: a power of two from 4 KiB to 4 MiB.</summary>
    public int ObjectSize { get; init; } = MaxObjectSize;
    /// <summary>Lease of a volume's lock.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(60);
    /// <summary>Bytes of chunks kept.</summary>
    public long Memory { get; init; } = 64 << 20;
    /// <summary>Most objects worked on at once, 1 to 256.</summary>
    public int FanOut { get; init; } = 16;
    /// <summary>When background work that has failed is first tried again.</summary>
    internal TimeSpan FirstRetry { get; init; } = TimeSpan.FromSeconds(1);
    /// <summary>Who has a volume open, for people of other hosts.</summary>
    public string Owner { get; init; } = $"{Environment.MachineName} pid {Environment.ProcessId}";

    /// <summary>The rows for the peer's section of a configuration file.</summary>
    public static OptionSpec[] All { get; } = [BlocksOption, ObjectsOption, ObjectSizeOption, LeaseOption, MemoryOption, FanOutOption];

    /// <summary>From a section of a configuration file whose table holds <see cref="All"/>.</summary>
    /// <exception cref="ConfigException">The object size is no power of two.</exception>
    public static MapperdOptions From(ConfigSection section)
    {
        long size = section.Get(ObjectSizeOption);
        if (!BitOperations.IsPow2(size)) throw section.Refuse(ObjectSizeOption, "a power of two from 4 KiB to 4 MiB");
        return new MapperdOptions
        {
            Blocks = section.Get(BlocksOption),
            Objects = section.Get(ObjectsOption),
            ObjectSize = (int)size,
            Lease = section.Get(LeaseOption),
            Memory = section.Get(MemoryOption),
            FanOut = (int)section.Get(FanOutOption),
        };
    }

    internal void Check()
    {
        if (!IsObjectSize(ObjectSize))
            throw new ErrnoException(Errno.EINVAL, $"object size {ObjectSize}: expected a power of two from {MinObjectSize} to {MaxObjectSize}");
        if (FanOut is < 1 or > 256) throw new ErrnoException(Errno.EINVAL, $"fan-out {FanOut}: expected 1 to 256");
    }

    /// <summary>True for what objects of a volume may have: a power of two from 4 KiB to 4 MiB.</summary>
    public static bool IsObjectSize(long size) => size is >= MinObjectSize and <= MaxObjectSize && BitOperations.IsPow2(size);
}
