using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;

namespace Archipelago.Vlmcd;

/// <summary>What vlmcd is told by the configuration.</summary>
public sealed record VlmcdOptions
{
    /// <summary>Pages that the peer should get for its own requests and for the lists that it lends.</summary>
    public const int RecommendedPages = 256;

    /// <summary>See <see cref="Blocks"/>.</summary>
    public static readonly OptionSpec<string> BlocksOption = Option.Text("blocks", "cache",
        "Route to which the volumes' objects are sent: cached, or a blocker directly.", 1, 32);
    /// <summary>See <see cref="Maps"/>.</summary>
    public static readonly OptionSpec<string> MapsOption = Option.Text("maps", "maps", "Route of mapperd, which keeps the maps of the volumes.", 1, 32);
    /// <summary>See <see cref="FanOut"/>.</summary>
    public static readonly OptionSpec<long> FanOutOption = Option.Integer("fan-out", "16", 1, 256,
        "Most objects of one request that are worked on at once.");

    /// <summary>Route of the objects.</summary>
    public string Blocks { get; init; } = "cache";
    /// <summary>Route of the maps.</summary>
    public string Maps { get; init; } = "maps";
    /// <summary>Most children of one request in flight, 1 to 256.</summary>
    public int FanOut { get; init; } = 16;

    /// <summary>The rows for the peer's section of a configuration file.</summary>
    public static OptionSpec[] All { get; } = [BlocksOption, MapsOption, FanOutOption];

    /// <summary>From a section of a configuration file whose table holds <see cref="All"/>.</summary>
    public static VlmcdOptions From(ConfigSection section) =>
        new() { Blocks = section.Get(BlocksOption), Maps = section.Get(MapsOption), FanOut = (int)section.Get(FanOutOption) };

    internal void Check()
    {
        if (FanOut is < 1 or > 256) throw new ErrnoException(Errno.EINVAL, $"fan-out {FanOut}: expected 1 to 256");
    }
}
