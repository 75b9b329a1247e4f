using System.Buffers.Binary;
using System.Numerics;

namespace Archipelago.Runtime.Hosting;

/// <summary>CRC-32C (Castagnoli) of the blocks of metadata that peers keep in the store; its last four bytes hold the checksum of the rest. Thread-safe.</summary>
public static class Crc32C
{
    /// <summary>The checksum of any bytes.</summary>
    public static uint Of(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        for (; bytes.Length >= 8; bytes = bytes[8..]) crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        foreach (byte value in bytes) crc = BitOperations.Crc32C(crc, value);
        return ~crc;
    }

    /// <summary>Writes the checksum of a block into its last four bytes.</summary>
    public static void Seal(Span<byte> block) => BinaryPrimitives.WriteUInt32LittleEndian(block[^4..], Of(block[..^4]));

    /// <summary>True if the last four bytes are the checksum of the rest.</summary>
    public static bool IsSealed(ReadOnlySpan<byte> block) => BinaryPrimitives.ReadUInt32LittleEndian(block[^4..]) == Of(block[..^4]);
}
