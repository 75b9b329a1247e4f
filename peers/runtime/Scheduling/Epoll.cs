using System.Runtime.InteropServices;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Runtime.Scheduling;

/// <summary>epoll(7) for one reactor: level-triggered, handlers by index, no allocation per event.</summary>
internal sealed unsafe partial class Epoll : IDisposable
{
    private const int EpollCtlAdd = 1, EpollCtlDel = 2, EpollCtlMod = 3, CloseOnExec = 0x80000, MaxEvents = 64, EINTR = 4;

    // struct epoll_event is packed on x86-64 and aligned elsewhere (epoll_ctl(2)); the layout is built by hand for both.
    private static readonly int EventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;

    private readonly int _epoll;
    private readonly List<Registration?> _registrations = [];
    private readonly Stack<int> _free = new();

    internal Epoll()
    {
        _epoll = epoll_create1(CloseOnExec);
        if (_epoll < 0) throw Failure("epoll_create1");
    }

    internal int Count { get; private set; }

    internal IoWatch Add(int handle, IoEvents events, IIoHandler handler)
    {
        int index = _free.Count > 0 ? _free.Pop() : _registrations.Count;
        var registration = new Registration(this, index, handle, handler);
        Control(EpollCtlAdd, handle, events, index);
        if (index == _registrations.Count) _registrations.Add(registration);
        else _registrations[index] = registration;
        Count++;
        return registration;
    }

    /// <summary>Waits up to <paramref name="timeoutMilliseconds"/> (−1 for ever) and calls the handlers; returns how many were ready.</summary>
    internal int Wait(int timeoutMilliseconds)
    {
        byte* events = stackalloc byte[MaxEvents * 16];
        int ready = epoll_wait(_epoll, events, MaxEvents, timeoutMilliseconds);
        if (ready < 0)
        {
            if (Marshal.GetLastPInvokeError() == EINTR) return 0;
            throw Failure("epoll_wait");
        }

        for (int i = 0; i < ready; i++)
        {
            byte* at = events + i * EventSize;
            uint bits = *(uint*)at;
            int index = *(int*)(at + EventSize - 8);
            // A handler that ran before may have removed this one.
            _registrations[index]?.Handler.OnReady((IoEvents)bits);
        }

        return ready;
    }

    public void Dispose() => _ = close(_epoll);

    private void Control(int operation, int handle, IoEvents events, int index)
    {
        byte* at = stackalloc byte[16];
        new Span<byte>(at, 16).Clear();
        *(uint*)at = (uint)events;
        *(int*)(at + EventSize - 8) = index;
        if (epoll_ctl(_epoll, operation, handle, at) != 0) throw Failure($"epoll_ctl of descriptor {handle}");
    }

    private static ErrnoException Failure(string what)
    {
        int error = Marshal.GetLastPInvokeError();
        return new ErrnoException(error, $"{what}: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    private sealed class Registration(Epoll epoll, int index, int handle, IIoHandler handler) : IoWatch
    {
        private bool _disposed;

        internal IIoHandler Handler => handler;

        public override void Change(IoEvents events)
        {
            if (!_disposed) epoll.Control(EpollCtlMod, handle, events, index);
        }

        public override void Dispose()
        {
            if (_disposed) return;
            _disposed = true;
            epoll.Control(EpollCtlDel, handle, IoEvents.None, index);
            epoll._registrations[index] = null;
            epoll._free.Push(index);
            epoll.Count--;
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_create1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_ctl(int epoll, int operation, int handle, void* @event);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_wait(int epoll, void* events, int count, int timeout);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int close(int handle);
}
