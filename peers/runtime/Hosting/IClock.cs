namespace Archipelago.Runtime.Hosting;

/// <summary>
/// The seam through which peers see time. In production it is <see cref="SystemClock"/>; a simulation gives virtual time. Peers
/// never read a clock in any other way. Implementations are safe for use by any thread.
/// </summary>
public interface IClock
{
    /// <summary>
    /// Nanoseconds since boot, including the time that the host was suspended (CLOCK_BOOTTIME). For leases and locks: a holder that
    /// slept through its lease must see that it is over.
    /// </summary>
    long BoottimeNanoseconds { get; }

    /// <summary>Nanoseconds that never step back (CLOCK_MONOTONIC). For latencies, time-outs and timers.</summary>
    long MonotonicNanoseconds { get; }

    /// <summary>Wall-clock time in UTC. For logs and for people only; it may step.</summary>
    DateTimeOffset UtcNow { get; }
}
