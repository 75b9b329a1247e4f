using System.Buffers.Binary;

namespace Archipelago.Nbd.Protocol;

/// <summary>A request of the transmission phase as the client sent it; nothing in it is checked but the magic.</summary>
internal readonly record struct RequestHeader(CommandFlags Flags, NbdCommand Command, ulong Cookie, ulong Offset, uint Length)
{
    /// <summary>Decodes 28 bytes; false if the magic is wrong: then the stream is lost.</summary>
    internal static unsafe bool TryParse(byte* at, out RequestHeader header)
    {
        header = new RequestHeader(
            (CommandFlags)Big(*(ushort*)(at + 4)),
            (NbdCommand)Big(*(ushort*)(at + 6)),
            // Opaque: it goes back as it came.
            *(ulong*)(at + 8),
            Big(*(ulong*)(at + 16)),
            Big(*(uint*)(at + 24)));
        return Big(*(uint*)at) == NbdProtocol.RequestMagic;
    }

    private static ushort Big(ushort value) => BinaryPrimitives.ReverseEndianness(value);

    private static uint Big(uint value) => BinaryPrimitives.ReverseEndianness(value);

    private static ulong Big(ulong value) => BinaryPrimitives.ReverseEndianness(value);
}
