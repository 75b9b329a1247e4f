using System.Runtime.InteropServices;

namespace Archipelago.Runtime.Scheduling;

/// <summary>An eventfd(2) that wakes a parked reactor from another thread of its process.</summary>
internal sealed unsafe partial class WakeEvent : IIoHandler, IDisposable
{
    private const int CloseOnExec = 0x80000, NonBlocking = 0x800;

    internal WakeEvent()
    {
        Handle = eventfd(0, CloseOnExec | NonBlocking);
        if (Handle < 0) throw new ErrnoException(Marshal.GetLastPInvokeError(), "eventfd: no descriptor to be had; raise the limit of open files");
    }

    internal int Handle { get; }

    internal void Set()
    {
        ulong one = 1;
        _ = write(Handle, &one, 8);
    }

    public void OnReady(IoEvents events)
    {
        ulong count;
        _ = read(Handle, &count, 8);
    }

    public void Dispose() => _ = close(Handle);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int eventfd(uint initial, int flags);

    [LibraryImport("libc")]
    private static partial nint write(int handle, void* buffer, nuint count);

    [LibraryImport("libc")]
    private static partial nint read(int handle, void* buffer, nuint count);

    [LibraryImport("libc")]
    private static partial int close(int handle);
}
