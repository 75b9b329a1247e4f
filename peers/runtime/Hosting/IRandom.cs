namespace Archipelago.Runtime.Hosting;

/// <summary>
/// The seam through which peers draw random numbers, so that a simulation's seed replays exactly. An instance belongs to one
/// thread; take one per shard with <see cref="Fork"/>. Not for secrets.
/// </summary>
public interface IRandom
{
    /// <summary>64 uniformly distributed bits.</summary>
    ulong NextUInt64();

    /// <summary>A uniform number in [0, <paramref name="exclusiveMax"/>); <paramref name="exclusiveMax"/> must be positive.</summary>
    long Next(long exclusiveMax);

    /// <summary>A uniform number in [0, 1) with 53 bits.</summary>
    double NextDouble();

    /// <summary>Fills <paramref name="destination"/> with random bytes.</summary>
    void Fill(Span<byte> destination);

    /// <summary>
    /// A generator of its own for a shard or a purpose, fixed by this one's seed and <paramref name="stream"/> alone: how much was
    /// drawn from either does not influence the other.
    /// </summary>
    IRandom Fork(ulong stream);
}
