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
    /// <exception cref="ErrnoException">EPERM: it must be locked, and cannot.</exception>
    internal void Lock(SegmentLock how)
    {
        if (how == SegmentLock.No) return;
        if (how == SegmentLock.Yes && !segment.TryLock(out string refused)) throw new ErrnoException(Errno.EPERM, $"{refused}, or say [segment] lock = try");
        new Thread(() =>
        {
            if (how == SegmentLock.Try && !segment.TryLock(out string warning)) log.LogWarning("{Warning}", warning);
            var memory = Report();
            log.LogInformation("segment memory: {Resident} MiB resident, {Huge} MiB in huge pages, {Locked} MiB locked", memory.ResidentBytes >> 20, memory.HugeBytes >> 20, memory.LockedBytes >> 20);
        })
        { IsBackground = true, Name = "segment lock" }.Start();
    }

    /// <summary>For the status.</summary>
    internal void AddTo(JsonObject status)
    {
        var memory = Report();
        (status["residentBytes"], status["hugeBytes"], status["lockedBytes"]) = (memory.ResidentBytes, memory.HugeBytes, memory.LockedBytes);
    }

    private MemoryReport Report()
    {
        lock (_gate)
        {
            if (_last != null && Environment.TickCount64 - _lastAt < Fresh.TotalMilliseconds) return _last;
            try
            {
                _last = segment.Memory();
            }
            catch (Exception e) when (FileFault.Is(e))
            {
                // Where /proc is hidden nobody knows.
                _last = new MemoryReport(0, 0, 0);
            }

            _lastAt = Environment.TickCount64;
            return _last;
        }
    }
}
