using System.Runtime.InteropServices;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>
/// What a version of a volume holds, by sector: the stamp of the write that it comes from, or 0 for zeros. Sparse, and never changed in place: what is written
/// to it is another one that shares the rest.
/// </summary>
internal sealed class Content
{
    internal const int Sector = 512, Extent = 8;
    private readonly Dictionary<int, ulong[]> _extents;

    private Content(int sectors, Dictionary<int, ulong[]> extents) => (Sectors, _extents) = (sectors, extents);

    internal int Sectors { get; }
    internal ulong Bytes => (ulong)Sectors * Sector;

    internal static Content Zeros(int sectors) => new(sectors, []);

    internal ulong this[int sector] => sector < Sectors && _extents.TryGetValue(sector / Extent, out var extent) ? extent[sector % Extent] : 0;

    /// <summary>First sectors of the extents of 4 KiB that are not all zeros, in order.</summary>
    internal IEnumerable<int> Used => _extents.Keys.Order().Select(extent => extent * Extent);

    internal Content With(int first, int count, ulong stamp)
    {
        var extents = new Dictionary<int, ulong[]>(_extents);
        for (int at = first / Extent; at * Extent < first + count; at++)
        {
            var fresh = extents.TryGetValue(at, out var old) ? (ulong[])old.Clone() : new ulong[Extent];
            int from = Math.Max(first, at * Extent), to = Math.Min(first + count, (at + 1) * Extent);
            fresh.AsSpan(from - at * Extent, to - from).Fill(stamp);
            if (fresh.AsSpan().ContainsAnyExcept(0ul)) extents[at] = fresh;
            else extents.Remove(at);
        }

        return new Content(Sectors, extents);
    }

    internal Content With(int sector, ulong stamp) => this[sector] == stamp ? this : With(sector, 1, stamp);

    internal Content Resized(int sectors)
    {
        if (sectors >= Sectors) return new Content(sectors, _extents);
        var cut = With(sectors, Sectors - sectors, 0);
        return new Content(sectors, cut._extents);
    }

    /// <summary>Stands for the content where versions are compared.</summary>
    internal string Key()
    {
        ulong hash = 14695981039346656037;
        foreach (int first in Used)
            for (int sector = first; sector < first + Extent; sector++)
                if (this[sector] is var stamp and not 0) hash = ((hash ^ (ulong)sector) * 1099511628211 ^ stamp) * 1099511628211;
        return $"{Sectors}/{hash:x16}";
    }

    internal static void Fill(Span<byte> bytes, int sector, ulong stamp)
    {
        for (; bytes.Length >= Sector; bytes = bytes[Sector..], sector++)
        {
            var words = MemoryMarshal.Cast<byte, ulong>(bytes[..Sector]);
            for (int i = 0; i < words.Length; i++) words[i] = Word(sector, stamp, i);
        }
    }

    /// <summary>The stamp of a sector, or null if it is torn, or another one's.</summary>
    internal static ulong? StampOf(ReadOnlySpan<byte> bytes, int sector)
    {
        var words = MemoryMarshal.Cast<byte, ulong>(bytes);
        ulong stamp = words[0];
        if (stamp == 0) return bytes.ContainsAnyExcept((byte)0) ? null : 0;
        for (int i = 1; i < words.Length; i++)
            if (words[i] != Word(sector, stamp, i)) return null;
        return stamp;
    }

    private static ulong Word(int sector, ulong stamp, int i) => i == 0 ? stamp : stamp * 0x9E37_79B9_7F4A_7C15 + (ulong)sector * 64 + (ulong)i;
}
