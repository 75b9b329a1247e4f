using Archipelago.Runtime.Hosting;

namespace Archipelago.Simulation;

/// <summary>Virtual time of a <see cref="SimWorld"/>: it passes only when the world lets it.</summary>
public sealed class SimClock : IClock
{
    /// <summary>Nanoseconds since the start of the world.</summary>
    public long Now { get; internal set; } = 1_000_000_000;

    /// <inheritdoc/>
    public long BoottimeNanoseconds => Now;
    /// <inheritdoc/>
    public long MonotonicNanoseconds => Now;
    /// <inheritdoc/>
    public DateTimeOffset UtcNow => DateTimeOffset.UnixEpoch.AddTicks(Now / 100);
}
