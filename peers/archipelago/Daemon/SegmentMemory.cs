using System.Text.Json.Nodes;
using Archipelago.Runtime;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cli.Daemon;

/// <summary>Whether a process locks the segment in RAM.</summary>
internal enum SegmentLock
{
    /// <summary>If the limit allows it.</summary>
    Try,
    /// <summary>Or it does not start.</summary>
    Yes,
    /// <summary>Not at all.</summary>
    No,
}

/// <summary>What memory this process has of the segment: locks it, and tells what the kernel says. Thread-safe.</summary>
internal sealed class SegmentMemory(Segment segment, ILogger log)
{
    /// <summary>smaps walks all of the page tables.</summary>
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(10);
    private readonly Lock _gate = new();
    private MemoryReport? _last;
    private long _lastAt;

    /// <summary>Locks. If it is only tried it happens beside the start, which for a large segment is sooner done.</summary>
    /// <exception cref="ErrnoException">It must be locked, and cannot: EPERM, or ENOMEM where the limit is too low.</exception>
    internal void Lock(SegmentLock how)
    {
        if (how == SegmentLock.No) return;
        if (how == SegmentLock.Yes && !segment.TryLock(out int errno, out string refused)) throw new ErrnoException(errno, $"{refused}, or say [segment] lock = try");
        new Thread(() =>
        {
            if (how == SegmentLock.Try && !segment.TryLock(out _, out string warning)) log.LogWarning("{Warning}", warning);
            if (Report() is not { } memory) return;
            log.LogInformation("segment memory: {Resident} MiB resident, {Huge} MiB in huge pages, {Locked} MiB locked", memory.ResidentBytes >> 20, memory.HugeBytes >> 20, memory.LockedBytes >> 20);
        })
        { IsBackground = true, Name = "segment lock" }.Start();
    }

    /// <summary>For the status.</summary>
    internal void AddTo(JsonObject status)
    {
        if (Report() is not { } memory) return;
        (status["residentBytes"], status["hugeBytes"], status["lockedBytes"]) = (memory.ResidentBytes, memory.HugeBytes, memory.LockedBytes);
    }

    /// <summary>Null where /proc is hidden: then nobody knows.</summary>
    private MemoryReport? Report()
    {
        lock (_gate)
        {
            if (_lastAt != 0 && Environment.TickCount64 - _lastAt < Fresh.TotalMilliseconds) return _last;
            try
            {
                _last = segment.Memory();
            }
            catch (Exception e) when (FileFault.Is(e))
            {
                _last = null;
            }

            _lastAt = Environment.TickCount64;
            return _last;
        }
    }
}
