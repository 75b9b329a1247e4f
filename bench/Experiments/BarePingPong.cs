using System.Diagnostics;
using Archipelago.Bench;
using Archipelago.Experiments.Measure;
using Archipelago.Experiments.Processes;
using Archipelago.Experiments.Roles;
using Archipelago.Runtime.Metrics;

namespace Archipelago.Experiments.Experiments;

/// <summary>The near end of the bare ring, on a pinned thread; the far end is a process of its own. Timed as the bench times.</summary>
internal sealed class BarePingPong : IDisposable
{
    private const int SampleMask = 63, Chunk = 4096;

    private readonly string _path = $"/dev/shm/archipelago-ring-{Environment.ProcessId}";
    private readonly BareRing _ring;
    private readonly Daemon _echo;
    private readonly LatencyHistogram _latency = new();
    private readonly long[] _started = new long[64];
    private uint _sample;

    internal BarePingPong()
    {
        _ring = new BareRing(_path, isFirst: true);
        _echo = new Daemon(Environment.ProcessPath!, "role", "echo", _path, $"{Settings.ServerCore}");
        _echo.ReadLine();
    }

    internal Figures Run(int depth, TimeSpan warmUp, TimeSpan length)
    {
        Figures figures = [];
        var thread = new Thread(() =>
        {
            ThreadCpu.Pin(Settings.ClientCore);
            for (uint i = 0; i < depth; i++) Send(i);
            Exchange(warmUp);
            _latency.Reset();
            double cpu = ThreadCpu.Process.TotalSeconds, cpuEcho = _echo.CpuSeconds;
            long start = Stopwatch.GetTimestamp();
            long requests = Exchange(length);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            var snapshot = _latency.Snapshot();
            figures["rate"] = requests / seconds;
            figures["p50"] = snapshot.Percentile(50);
            figures["p99"] = snapshot.Percentile(99);
            figures["cpuBench"] = (ThreadCpu.Process.TotalSeconds - cpu) * 1e6 / requests;
            figures["cpuServer"] = (_echo.CpuSeconds - cpuEcho) * 1e6 / requests;
            for (int left = depth; left > 0;)
                if (_ring.TryReceive(out _)) left--;
        });
        thread.Start();
        thread.Join();
        return figures;
    }

    public void Dispose()
    {
        _ring.Send(EchoRole.Stop);
        _echo.WaitForEnd(TimeSpan.FromSeconds(2));
        _echo.Dispose();
        _ring.Dispose();
        File.Delete(_path);
    }

    private long Exchange(TimeSpan length)
    {
        long end = Stopwatch.GetTimestamp() + (long)(length.TotalSeconds * Stopwatch.Frequency), requests = 0;
        for (; Stopwatch.GetTimestamp() < end; requests += Chunk) Turn();
        return requests;
    }

    private void Turn()
    {
        for (int done = 0; done < Chunk;)
        {
            if (!_ring.TryReceive(out uint value)) continue;
            long started = _started[value];
            if (started != 0) _latency.Record(Stopwatch.GetTimestamp() - started);
            Send(value);
            done++;
        }
    }

    private void Send(uint value)
    {
        _started[value] = (_sample++ & SampleMask) == 0 ? Stopwatch.GetTimestamp() : 0;
        _ring.Send(value);
    }
}
