using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Archipelago.Runtime.Logging;

/// <summary>
/// The queue between threads that log and the stream, with the thread that writes. <see cref="Post"/> never blocks: no lock, at most
/// one wake-up of a sleeping writer; a full queue drops the event and counts it, and the number is said in the log as soon as there
/// is room. A stream that fails (closed pipe) loses lines, which are counted too, and stops nobody.
/// </summary>
public sealed class LogWriter : IDisposable
{
    private const string OwnCategory = "archipelago.log";
    private static readonly TimeSpan DisposeLimit = TimeSpan.FromSeconds(5);

    private readonly BoundedRing<Line> _ring;
    private readonly Stream _output;
    private readonly LogOptions _options;
    private readonly Thread _thread;
    private readonly AutoResetEvent _wake = new(false);
    private int _sleeping;
    private volatile bool _stopping;
    private long _dropped;
    private long _droppedSaid;
    private long _failed;
    private long _posted;
    private long _done;

    /// <summary>A writer to a stream, which it does not close, with its thread.</summary>
    public LogWriter(Stream output, LogOptions options)
    {
        _output = output;
        _options = options;
        _ring = new BoundedRing<Line>(options.QueueLength);
        _thread = new Thread(Run) { Name = "log", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Events that found the queue full. Any thread.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Lines that the stream did not take. Any thread.</summary>
    public long Failed => Interlocked.Read(ref _failed);

    /// <summary>Queues a line. False if it was dropped. Any thread; never blocks.</summary>
    public bool Post(LogLevel level, string text)
    {
        if (_stopping)
        {
            return false;
        }

        if (!_ring.TryEnqueue(new Line(level, text)))
        {
            Interlocked.Increment(ref _dropped);
            return false;
        }

        // An atomic operation is a full fence: either this sees the writer asleep, or the writer's re-check sees the line.
        Interlocked.Increment(ref _posted);
        if (Volatile.Read(ref _sleeping) != 0 && Interlocked.Exchange(ref _sleeping, 0) != 0)
        {
            _wake.Set();
        }

        return true;
    }

    /// <summary>Waits until everything posted before the call is written, or the limit is over; false in that case.</summary>
    public bool Flush(TimeSpan limit)
    {
        long target = Interlocked.Read(ref _posted);
        long end = Environment.TickCount64 + (long)limit.TotalMilliseconds;
        while (Interlocked.Read(ref _done) < target)
        {
            if (Environment.TickCount64 >= end)
            {
                return false;
            }

            Thread.Sleep(1);
        }

        return true;
    }

    /// <summary>Writes what is queued, for 5 s at most, and ends the thread. Later posts are lost.</summary>
    public void Dispose()
    {
        if (_stopping)
        {
            return;
        }

        Flush(DisposeLimit);
        _stopping = true;
        _wake.Set();
        if (_thread.Join(DisposeLimit))
        {
            _wake.Dispose();
        }
    }

    private void Run()
    {
        var buffer = new MemoryStream();
        while (true)
        {
            bool stopping = _stopping;
            long taken = Fill(buffer);
            if (buffer.Length > 0)
            {
                Write(buffer, taken);
            }
            else if (stopping)
            {
                return;
            }
            else
            {
                Sleep();
            }
        }
    }

    // One write for all that waits, up to a bound, so that a burst does not cost one system call a line.
    private long Fill(MemoryStream buffer)
    {
        const int BatchBytes = 64 << 10;
        long taken = 0;
        while (buffer.Length < BatchBytes && _ring.TryDequeue(out Line? line))
        {
            Append(buffer, line!.Level, line.Text);
            taken++;
        }

        long dropped = Dropped;
        if (dropped != _droppedSaid)
        {
            string count = (dropped - _droppedSaid).ToString(CultureInfo.InvariantCulture);
            _droppedSaid = dropped;
            var entry = new LogEvent(
                DateTimeOffset.UtcNow, LogLevel.Warning, OwnCategory, "events were dropped: the log queue was full",
                [new("dropped", count), new("dropped_total", dropped)], null);
            Append(buffer, entry.Level, _options.Format == LogFormat.Json ? LogLine.Json(entry) : LogLine.Text(entry));
        }

        return taken;
    }

    private void Append(MemoryStream buffer, LogLevel level, string text)
    {
        string prefix = _options.PriorityPrefix ? LogLine.Prefix(level) : "";
        buffer.Write(Encoding.UTF8.GetBytes(prefix + text + "\n"));
    }

    private void Write(MemoryStream buffer, long taken)
    {
        try
        {
            _output.Write(buffer.GetBuffer(), 0, (int)buffer.Length);
            _output.Flush();
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or UnauthorizedAccessException)
        {
            Interlocked.Add(ref _failed, taken);
        }

        buffer.SetLength(0);
        Interlocked.Add(ref _done, taken);
    }

    private void Sleep()
    {
        Interlocked.Exchange(ref _sleeping, 1);
        if (_ring.HasItem || _stopping || Dropped != _droppedSaid)
        {
            Volatile.Write(ref _sleeping, 0);
            return;
        }

        _wake.WaitOne();
        Volatile.Write(ref _sleeping, 0);
    }

    private sealed record Line(LogLevel Level, string Text);
}
