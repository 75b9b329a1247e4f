using System.Buffers.Binary;
using System.Net;
using Archipelago.Nbd.Control;

namespace Archipelago.Nbd.Sockets;

/// <summary>A connection as an operator sees it. The kernel is asked for the client only when somebody wants to know.</summary>
internal sealed partial class Connection
{
    internal NbdConnection Describe() => new(
        Client(), _export?.Name, _phase switch { Phase.Handshake => "handshake", Phase.Transmission => "transmission", _ => "ending" }, _inFlight);

    private unsafe string Client()
    {
        if (_socket < 0) return "gone";
        byte* address = stackalloc byte[128];
        new Span<byte>(address, 128).Clear();
        uint length = 128;
        if (Libc.getpeername(_socket, address, &length) != 0) return "gone";
        switch (*(ushort*)address)
        {
            case Libc.AF_INET:
                return new IPEndPoint(new IPAddress(new ReadOnlySpan<byte>(address + 4, 4)), Port(address)).ToString();
            case Libc.AF_INET6:
                return new IPEndPoint(new IPAddress(new ReadOnlySpan<byte>(address + 8, 16)), Port(address)).ToString();
            default:
                // struct ucred: process, user, group.
                int* credentials = stackalloc int[3];
                length = 3 * sizeof(int);
                return Libc.getsockopt(_socket, Libc.SOL_SOCKET, Libc.SO_PEERCRED, credentials, &length) == 0 ? $"pid {credentials[0]}" : "unknown";
        }
    }

    private static unsafe int Port(byte* address) => BinaryPrimitives.ReverseEndianness(*(ushort*)(address + 2));
}
