using System.Buffers.Binary;
using System.Numerics;

namespace Archipelago.Vlmcd.Format;

/// <summary>CRC-32C (Castagnoli) of the 512-byte blocks that vlmcd writes.</summary>
internal static class Crc32C
{
    internal static uint Of(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        for (; bytes.Length >= 8; bytes = bytes[8..]) crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        foreach (byte value in bytes) crc = BitOperations.Crc32C(crc, value);
        return ~crc;
    }

    /// <summary>Writes the checksum of a block into its last four bytes.</summary>
    internal static void Seal(Span<byte> block) => BinaryPrimitives.WriteUInt32LittleEndian(block[^4..], Of(block[..^4]));

    /// <summary>True if the last four bytes are the checksum of the rest.</summary>
    internal static bool IsSealed(ReadOnlySpan<byte> block) => BinaryPrimitives.ReadUInt32LittleEndian(block[^4..]) == Of(block[..^4]);
}
