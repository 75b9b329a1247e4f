using Archipelago.Maps;
using Archipelago.Mapperd.Format;

namespace Archipelago.Mapperd.Maps;

/// <summary>One chunk of a map, as bytes: 128 sectors of 62 entries. A sector that is damaged stays as it is, and its entries are damaged.</summary>
internal sealed class Chunk
{
    private readonly bool[] _sound = new bool[MapGeometry.ChunkSectors];

    private Chunk(ulong layer, int index, byte[] bytes) => (Layer, Index, Bytes) = (layer, index, bytes);

    internal ulong Layer { get; }
    internal int Index { get; }
    internal byte[] Bytes { get; }
    /// <summary>Writes under way: it stays in memory meanwhile.</summary>
    internal int Pins { get; set; }
    /// <summary>To be forgotten when it is not being changed any more.</summary>
    internal bool IsStale { get; set; }
    /// <summary>For the list of chunks by last use.</summary>
    internal LinkedListNode<Chunk>? Use { get; set; }

    internal int DamagedSectors => _sound.Count(sound => !sound);

    internal bool IsSectorSound(int sector) => _sound[sector];

    /// <summary>From what the store holds, which may be anything.</summary>
    internal static Chunk Read(ulong layer, int index, byte[] bytes)
    {
        var chunk = new Chunk(layer, index, bytes);
        for (int sector = 0; sector < MapGeometry.ChunkSectors; sector++) chunk._sound[sector] = MapSector.IsSound(chunk.SectorAt(sector), layer, sector);
        return chunk;
    }

    /// <summary>All of whose objects may exist in <paramref name="of"/>.</summary>
    internal static Chunk Uniform(ulong layer, int index, ulong of)
    {
        var chunk = new Chunk(layer, index, new byte[MapGeometry.ChunkBytes]);
        for (int i = 0; i < MapGeometry.ChunkEntries; i++) chunk.SetEntry(i, MapEntry.Of(of, false));
        chunk.SealAll();
        return chunk;
    }

    /// <summary>The same entries, as a chunk of <paramref name="layer"/>. What was damaged stays damaged.</summary>
    internal static Chunk Copy(Chunk from, ulong layer)
    {
        var chunk = new Chunk(layer, from.Index, (byte[])from.Bytes.Clone());
        for (int sector = 0; sector < MapGeometry.ChunkSectors; sector++)
        {
            chunk._sound[sector] = from._sound[sector];
            if (chunk._sound[sector]) MapSector.Seal(chunk.SectorAt(sector), layer, sector);
        }

        return chunk;
    }

    internal Span<byte> SectorAt(int sector) => Bytes.AsSpan(sector * MapGeometry.SectorBytes, MapGeometry.SectorBytes);

    internal bool IsSound(int entry) => _sound[entry / MapGeometry.SectorEntries];

    /// <summary>An entry of a chunk, or, where there is none, what the directory's word says of all its entries.</summary>
    internal static MapEntry Entry(Chunk? chunk, MapEntry word, int at) => chunk == null ? word : chunk[at];

    internal MapEntry this[int entry] =>
        IsSound(entry) ? MapSector.Get(SectorAt(entry / MapGeometry.SectorEntries), entry % MapGeometry.SectorEntries) : MapEntry.Damaged;

    /// <summary>A sound sector as it is with other entries; not yet the chunk's own.</summary>
    internal byte[] With(int sector, IEnumerable<(int At, MapEntry Entry)> changes)
    {
        byte[] changed = SectorAt(sector).ToArray();
        foreach (var (at, entry) in changes) MapSector.Set(changed, at % MapGeometry.SectorEntries, entry);
        MapSector.Seal(changed, Layer, sector);
        return changed;
    }

    /// <summary>The sector is this in the store now.</summary>
    internal void Replace(int sector, ReadOnlySpan<byte> bytes) => bytes.CopyTo(SectorAt(sector));

    private void SetEntry(int entry, MapEntry value) => MapSector.Set(SectorAt(entry / MapGeometry.SectorEntries), entry % MapGeometry.SectorEntries, value);

    private void SealAll()
    {
        for (int sector = 0; sector < MapGeometry.ChunkSectors; sector++)
        {
            MapSector.Seal(SectorAt(sector), Layer, sector);
            _sound[sector] = true;
        }
    }
}
