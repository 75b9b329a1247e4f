using System.Numerics;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;

namespace Archipelago.Vlmcd;

/// <summary>What vlmcd is told by the configuration.</summary>
public sealed record VlmcdOptions
{
    /// <summary>Smallest object size: one page.</summary>
    public const int MinObjectSize = 4096;
    /// <summary>Largest object size: what one request carries, 4 MiB.</summary>
    public const int MaxObjectSize = 4 << 20;

    /// <summary>Pages that the peer should get for its own requests and for the lists that it lends.</summary>
    public const int RecommendedPages = 256;

    /// <summary>See <see cref="Blocks"/>.</summary>
    public static readonly OptionSpec<string> BlocksOption = Option.Text("blocks", "cache",
        "Route to which the volumes' objects are sent: cached, or a blocker directly.", 1, 32);
    /// <summary>See <see cref="ObjectSize"/>.</summary>
    public static readonly OptionSpec<long> ObjectSizeOption = Option.Bytes("object-size", "4MiB", MinObjectSize, MaxObjectSize,
        "Object size of new volumes, a power of two. A volume keeps the object size that it was created with.", MinObjectSize);
    /// <summary>See <see cref="FanOut"/>.</summary>
    public static readonly OptionSpec<long> FanOutOption = Option.Integer("fan-out", "16", 1, 256,
        "Most objects of one request that are worked on at once. A deletion in the background takes at most 2.");

    /// <summary>Route of the objects.</summary>
    public string Blocks { get; init; } = "cache";
    /// <summary>Object size of new volumes, bytes: a power of two from 4 KiB to 4 MiB.</summary>
    public int ObjectSize { get; init; } = MaxObjectSize;
    /// <summary>Most children of one request in flight, 1 to 256.</summary>
    public int FanOut { get; init; } = 16;

    /// <summary>The rows for the peer's section of a configuration file.</summary>
    public static OptionSpec[] All { get; } = [BlocksOption, ObjectSizeOption, FanOutOption];

    /// <summary>From a section of a configuration file whose table holds <see cref="All"/>.</summary>
    /// <exception cref="ConfigException">The object size is no power of two.</exception>
    public static VlmcdOptions From(ConfigSection section)
    {
        long size = section.Get(ObjectSizeOption);
        if (!BitOperations.IsPow2(size)) throw section.Refuse(ObjectSizeOption, "a power of two from 4 KiB to 4 MiB");
        return new VlmcdOptions { Blocks = section.Get(BlocksOption), ObjectSize = (int)size, FanOut = (int)section.Get(FanOutOption) };
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
