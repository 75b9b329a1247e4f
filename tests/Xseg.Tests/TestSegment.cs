using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Xseg.Tests;

/// <summary>
/// A segment in a directory of its own. Each <see cref="Join"/> is as another process: its locks are its own, and disposing of
/// the joined segment without its ports is as kill -9.
/// </summary>
internal sealed class TestSegment : IDisposable
{
    private readonly List<Segment> _joined = [];

    internal TestSegment(int ports = 6, int slots = 16, int pages = 128)
    {
        Path = NewDirectory();
        First = Segment.Create(Path, new SegmentOptions { Ports = ports, SlotsPerPort = slots, Pages = pages, Flows = 16, Objects = 64, Routes = 8, Sessions = 1, Prefault = false });
        _joined.Add(First);
    }

    internal string Path { get; }

    internal Segment First { get; }

    internal static string NewDirectory() =>
        System.IO.Path.Combine(Directory.Exists("/dev/shm") ? "/dev/shm" : System.IO.Path.GetTempPath(), "xseg-test-" + Guid.NewGuid().ToString("N"));

    internal Segment Join()
    {
        var segment = Segment.Join(Path);
        _joined.Add(segment);
        return segment;
    }

    internal static Port Bind(Segment segment, string name, int pages = 16, bool keeps = false, bool transient = false, int timeout = 5000) =>
        Port.Bind(segment, new PortOptions { Name = name, Pages = pages, KeepsCachePages = keeps, Transient = transient, FenceTimeout = TimeSpan.FromMilliseconds(timeout) });

    public void Dispose()
    {
        foreach (var segment in _joined) segment.Dispose();
        Directory.Delete(Path, recursive: true);
    }
}
