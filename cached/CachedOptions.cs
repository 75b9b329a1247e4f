using Archipelago.Runtime.Configuration;
using Archipelago.Xseg.Layout;

namespace Archipelago.Cached;

/// <summary>How a cache behaves.</summary>
public sealed record CachedOptions
{
    /// <summary>See <see cref="Pages"/>.</summary>
    public static readonly OptionSpec<long> SizeOption = Option.Bytes("size", "256M", 256 << 10, 1L << 40,
        "RAM for cached data, in whole pages of 4 KiB; it comes out of the segment's pages at start. Index and page table take about 1.2 % more.", 4096);
    /// <summary>See <see cref="Blocks"/>.</summary>
    public static readonly OptionSpec<string> BlocksOption = Option.Text("blocks", "blocks", "Route to the blocker that persists what is cached here.", 1, 32);
    /// <summary>See <see cref="DefaultPolicy"/>.</summary>
    public static readonly OptionSpec<CachePolicy> PolicyOption = Option.Choice("policy", "writeback",
        "Policy of volumes that name none. writeback answers a write when the cache holds it: a crash of the HOST loses what the guest has not flushed, "
        + "at most dirty-ratio of the cache and as a rule dirty-age of writes; a crash of a process loses nothing. A volume starts in write-through all the same and "
        + "changes to write-back at its guest's first flush (safe until first flush). writethrough answers when the blocker has the write. off caches nothing.",
        ("writeback", CachePolicy.WriteBack), ("writethrough", CachePolicy.WriteThrough), ("off", CachePolicy.Off));
    /// <summary>See <see cref="ImagesPolicy"/>.</summary>
    public static readonly OptionSpec<CachePolicy> ImagesPolicyOption = Option.Choice("images-policy", "default",
        "Policy of images: objects that clones and snapshots share and that never change again, cached once for all of them. They are never dirty, so writethrough means that they are kept. "
        + "off: each is read from the store each time. default: kept, unless policy is off.",
        ("default", CachePolicy.Default), ("writethrough", CachePolicy.WriteThrough), ("off", CachePolicy.Off));
    /// <summary>See <see cref="ImagesShare"/>.</summary>
    public static readonly OptionSpec<double> ImagesShareOption = Option.Ratio("images-share", "100%", 0.01, 1,
        "Largest part of the cache that images may hold: beyond it they replace each other, and no volume's data.");
    /// <summary>See <see cref="MapsPolicy"/>.</summary>
    public static readonly OptionSpec<CachePolicy> MapsPolicyOption = Option.Choice("maps-policy", "off",
        "Policy of maps and other metadata that a peer sends through the cache. mapperd sends none of it: it asks the blocker itself, so that every host sees the same. "
        + "writethrough is the only other one: a map is never newer here than in the store.",
        ("off", CachePolicy.Off), ("writethrough", CachePolicy.WriteThrough));
    /// <summary>See <see cref="MapsShare"/>.</summary>
    public static readonly OptionSpec<double> MapsShareOption = Option.Ratio("maps-share", "10%", 0.01, 1, "Largest part of the cache that maps may hold.");
    /// <summary>See <see cref="DirtyRatio"/>.</summary>
    public static readonly OptionSpec<double> DirtyRatioOption = Option.Ratio("dirty-ratio", "75%", 0.01, 0.95,
        "Largest part of the cache that may be dirty. Writers then go at the blocker's speed.");
    /// <summary>See <see cref="DestageRatio"/>.</summary>
    public static readonly OptionSpec<double> DestageRatioOption = Option.Ratio("destage-ratio", "25%", 0, 0.95,
        "Dirty part of the cache from which on data is destaged before it has dirty-age: from 5 s old at this part (or dirty-age, if that is less) down to at once at dirty-ratio, with more writes in flight the nearer it comes. Not above dirty-ratio.");
    /// <summary>See <see cref="DirtyAge"/>.</summary>
    public static readonly OptionSpec<TimeSpan> DirtyAgeOption = Option.Duration("dirty-age", "5s", TimeSpan.FromMilliseconds(10), TimeSpan.FromHours(1),
        "Age at which dirty data is destaged even if there is room.");
    /// <summary>See <see cref="DestageDepth"/>.</summary>
    public static readonly OptionSpec<long> DestageDepthOption = Option.Integer("destage-depth", "32", 1, 512, "Most writes to the blocker in flight for destaging; 4 while nothing presses.");
    /// <summary>See <see cref="DestageRun"/>.</summary>
    public static readonly OptionSpec<long> DestageRunOption = Option.Bytes("destage-run", "512k", 4096, 4 << 20, "Most bytes of neighbouring dirty pages in one write to the blocker.", 4096);
    /// <summary>See <see cref="FillDepth"/>.</summary>
    public static readonly OptionSpec<long> FillDepthOption = Option.Integer("fill-depth", "256", 1, 512, "Reads from the blocker in flight for misses.");

    /// <summary>The rows for the peer's section of a configuration file.</summary>
    public static OptionSpec[] All { get; } =
        [SizeOption, PolicyOption, ImagesPolicyOption, ImagesShareOption, MapsPolicyOption, MapsShareOption, DirtyRatioOption, DestageRatioOption, DirtyAgeOption, DestageDepthOption, DestageRunOption, FillDepthOption, BlocksOption];

    /// <summary>Pages of 4 KiB for data, 64 or more. They come from the segment at start.</summary>
    public int Pages { get; init; } = 65536;
    /// <summary>Route to the blocker.</summary>
    public string Blocks { get; init; } = "blocks";
    /// <summary>
    /// Policy of flows that name none. Write-back loses, with the host, what was not flushed: at most
    /// <see cref="DirtyRatio"/> of the cache and usually not more than <see cref="DirtyAge"/> of writes.
    /// </summary>
    public CachePolicy DefaultPolicy { get; init; } = CachePolicy.WriteBack;
    /// <summary>Policy of what never changes again: <see cref="CachePolicy.Off"/>, or kept; by default as <see cref="DefaultPolicy"/> is off or not.</summary>
    public CachePolicy ImagesPolicy { get; init; }
    /// <summary>Largest part of the pages that images may hold, 0.01 to 1.</summary>
    public double ImagesShare { get; init; } = 1;
    /// <summary>Policy of maps: <see cref="CachePolicy.Off"/> or <see cref="CachePolicy.WriteThrough"/>.</summary>
    public CachePolicy MapsPolicy { get; init; } = CachePolicy.Off;
    /// <summary>Largest part of the pages that maps may hold, 0.01 to 1.</summary>
    public double MapsShare { get; init; } = 0.1;
    /// <summary>Largest part of the pages that may be dirty, 0.01 to 0.95; writers then wait for destaging.</summary>
    public double DirtyRatio { get; init; } = 0.75;
    /// <summary>Part of the pages from which on data is destaged the younger the more is dirty, 0 to <see cref="DirtyRatio"/>.</summary>
    public double DestageRatio { get; init; } = 0.25;
    /// <summary>Age at which a dirty object is destaged.</summary>
    public TimeSpan DirtyAge { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>Blocker writes in flight for destaging, 1 to 512.</summary>
    public int DestageDepth { get; init; } = 32;
    /// <summary>Pages in one blocker write, 1 to 1,024.</summary>
    public int DestageRun { get; init; } = 128;
    /// <summary>Fills in flight, 1 to 512.</summary>
    public int FillDepth { get; init; } = 256;

    /// <summary>From a section of a configuration file whose table holds <see cref="All"/>.</summary>
    /// <exception cref="ConfigException">Options that contradict each other.</exception>
    public static CachedOptions From(ConfigSection section)
    {
        double dirty = section.Get(DirtyRatioOption), destage = section.Get(DestageRatioOption);
        if (destage > dirty) throw section.Refuse(DestageRatioOption, "not above dirty-ratio");
        return new CachedOptions
        {
            Pages = (int)(section.Get(SizeOption) >> 12),
            Blocks = section.Get(BlocksOption),
            DefaultPolicy = section.Get(PolicyOption),
            ImagesPolicy = section.Get(ImagesPolicyOption),
            ImagesShare = section.Get(ImagesShareOption),
            MapsPolicy = section.Get(MapsPolicyOption),
            MapsShare = section.Get(MapsShareOption),
            DirtyRatio = dirty,
            DestageRatio = destage,
            DirtyAge = section.Get(DirtyAgeOption),
            DestageDepth = (int)section.Get(DestageDepthOption),
            DestageRun = (int)(section.Get(DestageRunOption) >> 12),
            FillDepth = (int)section.Get(FillDepthOption),
        };
    }
}
