using System.Buffers.Binary;
using System.Net;
using System.Text;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Nbd.Sockets;

/// <summary>A listening socket. Hands over each accepted descriptor (non-blocking, close-on-exec). One reactor.</summary>
internal sealed unsafe class Listener : IIoHandler
{
    private const int Backlog = 512, MaxPath = 107;
    private const long PauseNanoseconds = 100_000_000;

    private readonly IReactor _reactor;
    private readonly Action<int> _accepted;
    private readonly IoWatch _watch;
    private readonly string? _path;
    private int _socket;

    private Listener(IReactor reactor, int socket, string? path, Action<int> accepted)
    {
        (_reactor, _socket, _path, _accepted) = (reactor, socket, path, accepted);
        _watch = reactor.Watch(socket, IoEvents.Read, this);
    }

    /// <summary>Bound port of a TCP listener.</summary>
    internal int Port { get; private init; }

    /// <summary>
    /// Listens on a Unix socket with mode 0600. The file of a dead process is replaced.
    /// </summary>
    /// <exception cref="ErrnoException">EADDRINUSE if a living process listens there; ENAMETOOLONG; whatever bind(2) says.</exception>
    internal static Listener Unix(IReactor reactor, string path, Action<int> accepted)
    {
        byte* address = stackalloc byte[110];
        uint length = UnixAddress(path, address);
        RemoveStale(path, address, length);
        int socket = Open(Libc.AF_UNIX, path);
        try
        {
            if (Libc.bind(socket, address, length) != 0) throw Libc.Failure($"{path}: cannot bind the NBD socket");
            // Nobody can connect before listen(2): there is no moment with a wider mode.
            if (Libc.chmod(path, 0x180 /* 0600 */) != 0) throw Libc.Failure($"{path}: cannot set mode 0600");
            if (Libc.listen(socket, Backlog) != 0) throw Libc.Failure($"{path}: cannot listen");
            return new Listener(reactor, socket, path, accepted);
        }
        catch
        {
            _ = Libc.close(socket);
            throw;
        }
    }

    /// <summary>Listens on TCP.</summary>
    internal static Listener Tcp(IReactor reactor, IPEndPoint endPoint, Action<int> accepted)
    {
        bool six = endPoint.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6;
        byte* address = stackalloc byte[28];
        uint length = TcpAddress(endPoint, six, address);
        int socket = Open(six ? Libc.AF_INET6 : Libc.AF_INET, endPoint.ToString());
        try
        {
            Libc.SetOption(socket, Libc.SOL_SOCKET, Libc.SO_REUSEADDR, 1);
            if (six) Libc.SetOption(socket, Libc.IPPROTO_IPV6, Libc.IPV6_V6ONLY, 1);
            if (Libc.bind(socket, address, length) != 0) throw Libc.Failure($"{endPoint}: cannot bind the NBD port");
            if (Libc.listen(socket, Backlog) != 0) throw Libc.Failure($"{endPoint}: cannot listen");
            _ = Libc.getsockname(socket, address, &length);
            return new Listener(reactor, socket, null, accepted) { Port = BinaryPrimitives.ReverseEndianness(*(ushort*)(address + 2)) };
        }
        catch
        {
            _ = Libc.close(socket);
            throw;
        }
    }

    public void OnReady(IoEvents events)
    {
        for (int i = 0; i < 64 && _socket >= 0; i++)
        {
            int accepted = Libc.accept4(_socket, null, null, Libc.SOCK_NONBLOCK | Libc.SOCK_CLOEXEC);
            if (accepted >= 0)
            {
                _accepted(accepted);
                continue;
            }

            if (Libc.LastError is Errno.EMFILE or Errno.ENFILE or Errno.ENOMEM or Errno.ENOBUFS) Pause();
            return;
        }
    }

    /// <summary>Stops listening and removes the socket file.</summary>
    internal void Close()
    {
        if (_socket < 0) return;
        _watch.Dispose();
        if (_path != null) _ = Libc.unlink(_path);
        _ = Libc.close(_socket);
        _socket = -1;
    }

    /// <summary>Without descriptors the waiting client would make the loop spin.</summary>
    private void Pause()
    {
        _watch.Change(IoEvents.None);
        _reactor.Schedule(_reactor.Now + PauseNanoseconds, static state =>
        {
            var listener = (Listener)state!;
            if (listener._socket >= 0) listener._watch.Change(IoEvents.Read);
        }, this);
    }

    private static int Open(int family, string what)
    {
        int socket = Libc.socket(family, Libc.SOCK_STREAM | Libc.SOCK_NONBLOCK | Libc.SOCK_CLOEXEC, 0);
        return socket >= 0 ? socket : throw Libc.Failure($"{what}: no socket to be had");
    }

    private static void RemoveStale(string path, byte* address, uint length)
    {
        var file = new FileInfo(path);
        if (!file.Exists && file.LinkTarget == null) return;
        int probe = Open(Libc.AF_UNIX, path);
        int error = Libc.connect(probe, address, length) == 0 ? 0 : Libc.LastError;
        _ = Libc.close(probe);
        // EAGAIN: somebody listens whose backlog is full.
        if (error is 0 or Errno.EAGAIN)
            throw new ErrnoException(Errno.EADDRINUSE, $"{path}: another process listens on this socket; stop it, or configure another path (EADDRINUSE)");
        if (error != Errno.ECONNREFUSED)
            throw Libc.Failure($"{path}: exists and is no NBD socket of ours; remove it, or configure another path", error);
        if (!IsSocket(path))
            throw new ErrnoException(Errno.EEXIST, $"{path}: exists and is no socket; remove it, or configure another path (EEXIST)");
        if (Libc.unlink(path) != 0) throw Libc.Failure($"{path}: cannot remove the socket of a dead process");
    }

    // connect(2) says ECONNREFUSED for regular files too; only a socket can be neither opened nor listed as anything else.
    private static bool IsSocket(string path)
    {
        try
        {
            using var opened = File.OpenHandle(path);
            return false;
        }
        catch (IOException)
        {
            return true;
        }
        catch (UnauthorizedAccessException)
        {
            return !Directory.Exists(path);
        }
    }

    private static uint UnixAddress(string path, byte* address)
    {
        int bytes = Encoding.UTF8.GetByteCount(path);
        if (bytes is 0 or > MaxPath)
            throw new ErrnoException(Errno.ENAMETOOLONG, $"NBD socket path '{path}' has {bytes} bytes: expected 1 to {MaxPath}");
        *(ushort*)address = Libc.AF_UNIX;
        Encoding.UTF8.GetBytes(path, new Span<byte>(address + 2, MaxPath));
        address[2 + bytes] = 0;
        return (uint)(2 + bytes + 1);
    }

    private static uint TcpAddress(IPEndPoint endPoint, bool six, byte* address)
    {
        new Span<byte>(address, 28).Clear();
        *(ushort*)address = (ushort)(six ? Libc.AF_INET6 : Libc.AF_INET);
        *(ushort*)(address + 2) = BinaryPrimitives.ReverseEndianness((ushort)endPoint.Port);
        endPoint.Address.TryWriteBytes(new Span<byte>(address + (six ? 8 : 4), six ? 16 : 4), out _);
        return six ? 28u : 16u;
    }
}
