using System.Runtime.InteropServices;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Native;

namespace Archipelago.Xseg.Ports;

/// <summary>
/// Wakes ports through FIFOs in the segment's directory: they can be waited for beside sockets, any process can open them, and
/// a C peer needs nothing but write(2). Thread-safe.
/// </summary>
internal sealed unsafe class Waker(Segment segment) : IDisposable
{
    private readonly int[] _handles = Unopened(segment.PortCount);
    private readonly Lock _gate = new();

    internal int Handle(int port)
    {
        int handle = Volatile.Read(ref _handles[port]);
        return handle >= 0 ? handle : Open(port);
    }

    internal void Wake(int port)
    {
        ref uint sleeping = ref segment.PortAt(port)->Sleeping;
        uint sleep = Volatile.Read(ref sleeping);
        if (sleep == 0) return;
        byte one = 1;
        // EAGAIN: the pipe is full of wake-ups. Nothing to add.
        _ = Libc.write(Handle(port), &one, 1);
        // Spares others the system call. Only after ours, or our death in between would leave a sleeper that nobody wakes; and
        // only if it is still the same sleep.
        Shared.TrySwap(ref sleeping, sleep, 0u);
    }

    internal void Drain(int port)
    {
        byte* bytes = stackalloc byte[256];
        while (Libc.read(Handle(port), bytes, 256) == 256) { }
    }

    public void Dispose()
    {
        foreach (int handle in _handles)
            if (handle >= 0) _ = Libc.close(handle);
    }

    private int Open(int port)
    {
        lock (_gate)
        {
            if (_handles[port] >= 0) return _handles[port];
            string path = Segment.FifoPath(segment.DirectoryPath, port);
            // Read-write, so that opening never waits for the other side and the pipe never ends.
            int handle = Libc.open(path, Libc.O_RDWR | Libc.O_NONBLOCK | Libc.O_CLOEXEC, 0);
            if (handle < 0)
            {
                int error = Marshal.GetLastPInvokeError();
                throw new XsegException(error, $"{path}: cannot be opened: {Marshal.GetPInvokeErrorMessage(error)}");
            }

            Volatile.Write(ref _handles[port], handle);
            return handle;
        }
    }

    private static int[] Unopened(int count)
    {
        var handles = new int[count];
        Array.Fill(handles, -1);
        return handles;
    }
}
