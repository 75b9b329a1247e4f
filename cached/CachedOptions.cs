using Archipelago.Xseg.Layout;

namespace Archipelago.Cached;

/// <summary>How a cache behaves.</summary>
public sealed record CachedOptions
{
    /// <summary>Pages of 4 KiB for data, 64 or more. They come from the segment at start.</summary>
    public int Pages { get; init; } = 65536;
    /// <summary>Route to the blocker.</summary>
    public string Blocks { get; init; } = "blocks";
    /// <summary>
    /// Policy of flows that name none. Write-back loses, with the host, what was not flushed: at most
    /// <see cref="DirtyRatio"/> of the cache and usually not more than <see cref="DirtyAge"/> of writes.
    /// </summary>
    public CachePolicy DefaultPolicy { get; init; } = CachePolicy.WriteBack;
    /// <summary>Largest part of the pages that may be dirty, 0.01 to 0.95; writers then wait for destaging.</summary>
    public double DirtyRatio { get; init; } = 0.75;
    /// <summary>Part of the pages from which on destaging runs without regard to age, 0 to <see cref="DirtyRatio"/>.</summary>
    public double DestageRatio { get; init; } = 0.25;
    /// <summary>Age at which a dirty object is destaged.</summary>
    public TimeSpan DirtyAge { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>Blocker writes in flight for destaging, 1 to 512.</summary>
    public int DestageDepth { get; init; } = 32;
    /// <summary>Pages in one blocker write, 1 to 1,024.</summary>
    public int DestageRun { get; init; } = 128;
    /// <summary>Fills in flight, 1 to 512.</summary>
    public int FillDepth { get; init; } = 256;
}
