using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;

namespace Archipelago.Memd;

/// <summary>How a <see cref="MemdPeer"/> behaves. All but <see cref="Volatile"/> can be changed while it runs.</summary>
public sealed record MemdOptions
{
    private static readonly TimeSpan Longest = TimeSpan.FromHours(1);

    /// <summary>Option of a configuration file, see <see cref="Latency"/>.</summary>
    public static readonly OptionSpec<TimeSpan> LatencyOption = Option.Duration("latency", "0", TimeSpan.Zero, Longest, "Time that each request takes.");
    /// <summary>See <see cref="Jitter"/>.</summary>
    public static readonly OptionSpec<TimeSpan> JitterOption = Option.Duration("jitter", "0", TimeSpan.Zero, Longest, "A random time from 0 to this is added to the latency.");
    /// <summary>See <see cref="Bandwidth"/>.</summary>
    public static readonly OptionSpec<long> BandwidthOption = Option.Bytes("bandwidth", "0", 0, 1L << 50, "Bytes per second that are read and written together; 0 for no limit.");
    /// <summary>See <see cref="Concurrency"/>.</summary>
    public static readonly OptionSpec<long> ConcurrencyOption = Option.Integer("concurrency", "0", 0, 1 << 20, "Requests that are worked on at once, the others wait; 0 for no limit.");
    /// <summary>See <see cref="Capacity"/>.</summary>
    public static readonly OptionSpec<long> CapacityOption = Option.Bytes("capacity", "0", 0, 1L << 50, "Bytes that the store holds, in whole 4 KiB chunks, before writes fail with ENOSPC; 0 for no limit.");
    /// <summary>See <see cref="Stable"/>.</summary>
    public static readonly OptionSpec<bool> StableOption = Option.Boolean("stable", "true", "Whether replies to writes say that the data is stable without a FLUSH.");
    /// <summary>See <see cref="Volatile"/>.</summary>
    public static readonly OptionSpec<bool> VolatileOption = Option.Boolean("volatile", "false", "Keep apart what was not flushed, so that a crash can be simulated; writes are then never called stable.");
    /// <summary>See <see cref="Rules"/>.</summary>
    public static readonly OptionSpec<IReadOnlyList<string>> ErrorsOption = Option.List("errors", "", "Errors to inject: OP:ERRNO, OP:ERRNO:SHARE or OP:ERRNO:xCOUNT, such as write:EIO:0.01, separated by commas.");

    /// <summary>The rows for the peer's section of a configuration file.</summary>
    public static OptionSpec[] All { get; } =
        [LatencyOption, JitterOption, BandwidthOption, ConcurrencyOption, CapacityOption, StableOption, VolatileOption, ErrorsOption];

    /// <summary>Time that each request takes.</summary>
    public TimeSpan Latency { get; init; }
    /// <summary>A uniformly random time from 0 to this is added.</summary>
    public TimeSpan Jitter { get; init; }
    /// <summary>Bytes per second of READ and WRITE together, one after another; 0 for no limit.</summary>
    public long Bandwidth { get; init; }
    /// <summary>Requests that are worked on at once; 0 for no limit.</summary>
    public int Concurrency { get; init; }
    /// <summary>Bytes before ENOSPC, in whole 4 KiB chunks; 0 for no limit.</summary>
    public long Capacity { get; init; }
    /// <summary>Writes are called stable in their replies (without <see cref="Volatile"/>, which they then are not).</summary>
    public bool Stable { get; init; } = true;
    /// <summary>What was not flushed is lost by <see cref="MemdPeer.Crash"/>. Fixed at start.</summary>
    public bool Volatile { get; init; }
    /// <summary>Every request waits until this is false again.</summary>
    public bool Hang { get; init; }
    /// <summary>Errors to inject; the first rule that applies counts.</summary>
    public IReadOnlyList<MemdRule> Rules { get; init; } = [];

    /// <summary>Whether requests take anything but the shortest way.</summary>
    internal bool IsShaped => Latency > TimeSpan.Zero || Jitter > TimeSpan.Zero || Bandwidth > 0 || Concurrency > 0 || Hang || Rules.Count > 0;

    /// <summary>From a section of a configuration file whose table holds <see cref="All"/>.</summary>
    /// <exception cref="ConfigException">An error rule is not understood.</exception>
    public static MemdOptions From(ConfigSection section)
    {
        try
        {
            return new MemdOptions
            {
                Latency = section.Get(LatencyOption),
                Jitter = section.Get(JitterOption),
                Bandwidth = section.Get(BandwidthOption),
                Concurrency = (int)section.Get(ConcurrencyOption),
                Capacity = section.Get(CapacityOption),
                Stable = section.Get(StableOption),
                Volatile = section.Get(VolatileOption),
                Rules = [.. section.Get(ErrorsOption).Select(MemdRule.Parse)],
            };
        }
        catch (ErrnoException wrong)
        {
            throw section.Refuse(ErrorsOption, wrong.Message);
        }
    }
}
