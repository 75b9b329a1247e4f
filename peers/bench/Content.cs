using System.Runtime.CompilerServices;

namespace Archipelago.Bench;

/// <summary>
/// What a block holds: 64-bit words, a function of (seed, object, sector of the object, generation), so that data of another
/// place or of another time never looks right. Generation 0 is zeros: never written.
/// </summary>
internal static unsafe class Content
{
    internal const int SectorBytes = 512;
    private const int WordsPerSector = SectorBytes / 8;
    private const ulong Step = 0x9E37_79B9_7F4A_7C15;

    /// <summary>First word of a sector.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong Tag(ulong seed, long target, long sector, uint generation)
    {
        if (generation == 0) return 0;
        ulong place = Mixing.Mix(((ulong)target * 0xD6E8_FEB8_6659_FD93) + (ulong)sector);
        return Mixing.Mix(place ^ Mixing.Mix(seed + ((ulong)generation << 32))) | 1;
    }

    /// <summary>Fills whole sectors, all bytes or (<paramref name="full"/> false) only the first word of each.</summary>
    internal static void Fill(byte* at, int bytes, ulong seed, long target, long firstSector, uint generation, bool full)
    {
        for (int sector = 0; sector < bytes / SectorBytes; sector++)
        {
            ulong* words = (ulong*)(at + (sector * SectorBytes));
            ulong tag = Tag(seed, target, firstSector + sector, generation);
            words[0] = tag;
            if (!full) continue;
            ulong step = generation == 0 ? 0 : Step;
            for (int i = 1; i < WordsPerSector; i++) words[i] = tag + ((ulong)i * step);
        }
    }

    /// <summary>Byte at which the content is wrong, or −1.</summary>
    internal static int FirstDifference(byte* at, int bytes, ulong seed, long target, long firstSector, uint generation, bool full)
    {
        for (int sector = 0; sector < bytes / SectorBytes; sector++)
        {
            ulong* words = (ulong*)(at + (sector * SectorBytes));
            ulong tag = Tag(seed, target, firstSector + sector, generation);
            if (words[0] != tag) return sector * SectorBytes;
            if (!full) continue;
            ulong step = generation == 0 ? 0 : Step, differences = 0;
            for (int i = 1; i < WordsPerSector; i++) differences |= words[i] ^ (tag + ((ulong)i * step));
            if (differences != 0) return (sector * SectorBytes) + (FirstWord(words, tag, step) * 8);
        }

        return -1;
    }

    /// <summary>What the sector at <paramref name="at"/> seems to be instead, for the message.</summary>
    internal static string Explain(byte* at, ulong seed, long target, long sector, uint expected)
    {
        ulong found = *(ulong*)at;
        if (found == Tag(seed, target, sector, expected)) return "the sector's beginning is right, its rest is not: torn or damaged";
        if (found == 0) return "zeros: the write is lost, or never happened";
        for (uint back = 1; back <= 64 && back < expected; back++)
            if (found == Tag(seed, target, sector, expected - back)) return $"stale: generation {expected - back}";
        for (uint ahead = 1; ahead <= 64; ahead++)
            if (found == Tag(seed, target, sector, expected + ahead)) return $"generation {expected + ahead}";
        for (long other = Math.Max(0, sector - 16384); other < sector + 16384; other++)
            if (found == Tag(seed, target, other, expected)) return $"misplaced: belongs to byte {other * SectorBytes} of the same target";
        return $"foreign data, first word 0x{found:x16}";
    }

    private static int FirstWord(ulong* words, ulong tag, ulong step)
    {
        int i = 1;
        while (i < WordsPerSector - 1 && words[i] == tag + ((ulong)i * step)) i++;
        return i;
    }
}
