using System.Diagnostics;
using System.Runtime.CompilerServices;
using Archipelago.Runtime.Metrics;

namespace Archipelago.Bench;

/// <summary>Where a run stands.</summary>
public enum BenchPhase
{
    /// <summary>Waiting for the route, opening.</summary>
    Preparing,
    /// <summary>Not yet measured.</summary>
    WarmUp,
    /// <summary>Measured.</summary>
    Measuring,
    /// <summary>Waiting for what is under way.</summary>
    Draining,
    /// <summary>The last FLUSH.</summary>
    Flushing,
    /// <summary>Deleting the objects that were made.</summary>
    Removing,
    /// <summary>Over.</summary>
    Done,
}

/// <summary>
/// Phases and counts of a run. The bench's thread alone writes; <see cref="Requests"/> and <see cref="Phase"/> may be read by any.
/// </summary>
internal sealed class BenchRun
{
    private const int SampleMask = 63;

    private readonly BenchOptions _options;
    private readonly long _requestLimit;
    private long _started;
    private long _phaseStart;
    private long _base;
    private long _issued;
    private long _allocatedBase;
    private TimeSpan _cpuBase;
    private uint _sample;

    internal BenchRun(BenchOptions options, long blocks)
    {
        _options = options;
        _requestLimit = options.TotalBytes > 0 ? (options.TotalBytes + options.BlockSize - 1) / options.BlockSize
            : options.IsTimed ? long.MaxValue
            : options.Op == BenchOp.Ping ? 1_000_000 : blocks;
    }

    internal LatencyHistogram Latency { get; } = new();
    internal BenchPhase Phase { get; private set; }
    /// <summary>Requests answered since the start of the measurement.</summary>
    internal long Requests => Volatile.Read(ref _requests) - _base;
    private long _requests;
    /// <summary>Answers to what is asked before and after the run, object by object: signs of life.</summary>
    internal long Others => Volatile.Read(ref _others);
    private long _others;
    internal long RequestLimit => _requestLimit;
    internal int InFlight { get; private set; }
    internal TimeSpan Measured { get; private set; }
    internal TimeSpan Cpu { get; private set; }
    internal long Allocated { get; private set; }
    internal long MeasuredRequests { get; private set; }
    internal bool MayIssue => Phase is BenchPhase.WarmUp or BenchPhase.Measuring && _issued < _requestLimit;
    internal TimeSpan Elapsed => Phase == BenchPhase.Measuring ? Stopwatch.GetElapsedTime(_phaseStart) : Measured;

    internal void Start()
    {
        _started = Stopwatch.GetTimestamp();
        if (_options.WarmUp > TimeSpan.Zero) Phase = BenchPhase.WarmUp;
        else BeginMeasuring();
    }

    internal void NoteOther() => Volatile.Write(ref _others, _others + 1);

    internal void Enter(BenchPhase phase) => Phase = phase;

    /// <summary>To be called now and then: switches phases by time. True if nothing is to be issued any more.</summary>
    internal bool CheckTime()
    {
        if (Phase == BenchPhase.WarmUp && Stopwatch.GetElapsedTime(_started) >= _options.WarmUp) BeginMeasuring();
        if (Phase == BenchPhase.Measuring
            && ((_options.IsTimed && Stopwatch.GetElapsedTime(_phaseStart) >= _options.Duration)
                || (_issued >= _requestLimit && InFlight == 0)))
            EndMeasuring();
        return Phase >= BenchPhase.Draining;
    }

    /// <summary>A request is sent; returns the time to remember for it, or 0 if it is not timed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal long Issue()
    {
        InFlight++;
        _issued++;
        return _options.FullLatency || (_sample++ & SampleMask) == 0 ? Stopwatch.GetTimestamp() : 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Complete(long startedAt)
    {
        InFlight--;
        Volatile.Write(ref _requests, _requests + 1);
        // Stopwatch ticks are nanoseconds on Linux.
        if (startedAt != 0 && Phase == BenchPhase.Measuring) Latency.Record(Stopwatch.GetTimestamp() - startedAt);
    }

    private void BeginMeasuring()
    {
        Phase = BenchPhase.Measuring;
        Latency.Reset();
        Volatile.Write(ref _base, _requests);
        _issued = 0;
        _cpuBase = ThreadCpu.Process;
        _allocatedBase = GC.GetAllocatedBytesForCurrentThread();
        _phaseStart = Stopwatch.GetTimestamp();
    }

    private void EndMeasuring()
    {
        Measured = Stopwatch.GetElapsedTime(_phaseStart);
        Allocated = GC.GetAllocatedBytesForCurrentThread() - _allocatedBase;
        Cpu = ThreadCpu.Process - _cpuBase;
        MeasuredRequests = Requests;
        Phase = BenchPhase.Draining;
    }
}
