using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Archipelago.Cached.Tests.Model;

/// <summary>An object as an array of sectors. Sizes are known as long as nothing makes them ambiguous.</summary>
internal sealed class ObjectModel(string name, uint flow, int sectors)
{
    internal readonly string Name = name;
    internal readonly uint Flow = flow;
    internal readonly int Sectors = sectors;
    internal readonly Register[] Registers = Enumerable.Range(0, sectors).Select(_ => new Register()).ToArray();
    /// <summary>Bytes, −1 if it does not exist; meaningless unless <see cref="SizeKnown"/>.</summary>
    internal long Size = -1;
    internal bool SizeKnown = true;
    /// <summary>Operations under way.</summary>
    internal int Pending;
    /// <summary>Operations under way that change the size other than by writing past the end.</summary>
    internal int PendingResizes;
    internal bool Alone;

    /// <summary>The stamp of a sector, or null if it is torn.</summary>
    internal static ulong? StampOf(ReadOnlySpan<byte> sector)
    {
        var words = MemoryMarshal.Cast<byte, ulong>(sector);
        ulong first = words[0];
        if (first == 0) return sector.ContainsAnyExcept((byte)0) ? null : 0;
        for (int i = 1; i < words.Length; i++)
            if (words[i] != first + (ulong)i) return null;
        return unchecked(first * Inverse);
    }

    // Of the factor in Rig.Fill, modulo 2⁶⁴.
    private static readonly ulong Inverse = InverseOf(0x9E37_79B9_7F4A_7C15);

    private static ulong InverseOf(ulong odd)
    {
        ulong inverse = odd;
        for (int i = 0; i < 6; i++) inverse *= unchecked(2 - odd * inverse);
        return inverse;
    }
}
