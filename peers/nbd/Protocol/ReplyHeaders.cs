using System.Buffers.Binary;

namespace Archipelago.Nbd.Protocol;

/// <summary>Encodes the headers of replies. Each method returns the bytes written; the caller's buffer has 128.</summary>
internal static unsafe class ReplyHeaders
{
    /// <summary>Room that every header fits in.</summary>
    internal const int Room = 128;

    private const int MaxMessage = Room - NbdProtocol.ChunkHeaderSize - 6;

    internal static int Simple(byte* at, ulong cookie, uint error)
    {
        Put(at, NbdProtocol.SimpleReplyMagic);
        Put(at + 4, error);
        *(ulong*)(at + 8) = cookie;
        return NbdProtocol.SimpleReplySize;
    }

    /// <summary>OFFSET_DATA; <paramref name="length"/> bytes of data follow.</summary>
    internal static int Data(byte* at, ulong cookie, ulong offset, uint length, bool done)
    {
        Chunk(at, cookie, ChunkType.OffsetData, length + 8, done);
        Put(at + 20, offset);
        return NbdProtocol.DataChunkSize;
    }

    internal static int Hole(byte* at, ulong cookie, ulong offset, uint length, bool done)
    {
        Chunk(at, cookie, ChunkType.OffsetHole, 12, done);
        Put(at + 20, offset);
        Put(at + 28, length);
        return NbdProtocol.HoleChunkSize;
    }

    /// <summary>The end of a successful reply without (further) content.</summary>
    internal static int None(byte* at, ulong cookie)
    {
        Chunk(at, cookie, ChunkType.None, 0, done: true);
        return NbdProtocol.ChunkHeaderSize;
    }

    /// <summary>An error with a text for humans, which is the last chunk.</summary>
    internal static int Error(byte* at, ulong cookie, uint error, ReadOnlySpan<char> message)
    {
        int length = Math.Min(message.Length, MaxMessage);
        Chunk(at, cookie, ChunkType.Error, (uint)(6 + length), done: true);
        Put(at + 20, error);
        Put(at + 24, (ushort)length);
        for (int i = 0; i < length; i++) at[26 + i] = message[i] < 128 ? (byte)message[i] : (byte)'?';
        return 26 + length;
    }

    /// <summary>BLOCK_STATUS with one context; <paramref name="descriptors"/> of 8 bytes follow.</summary>
    internal static int BlockStatus(byte* at, ulong cookie, int descriptors)
    {
        Chunk(at, cookie, ChunkType.BlockStatus, (uint)(4 + descriptors * 8), done: true);
        Put(at + 20, NbdProtocol.BaseAllocationId);
        return 24;
    }

    internal static void Put(byte* at, ushort value) => *(ushort*)at = BinaryPrimitives.ReverseEndianness(value);

    internal static void Put(byte* at, uint value) => *(uint*)at = BinaryPrimitives.ReverseEndianness(value);

    internal static void Put(byte* at, ulong value) => *(ulong*)at = BinaryPrimitives.ReverseEndianness(value);

    private static void Chunk(byte* at, ulong cookie, ChunkType type, uint length, bool done)
    {
        Put(at, NbdProtocol.StructuredReplyMagic);
        Put(at + 4, done ? (ushort)1 : (ushort)0);
        Put(at + 6, (ushort)type);
        *(ulong*)(at + 8) = cookie;
        Put(at + 16, length);
    }
}
