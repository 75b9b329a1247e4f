using System.Text;
using Archipelago.Maps;
using Archipelago.Mapperd.Format;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Maps;

/// <summary>The directory of a version, object <c>d.ID.GEN</c>: per chunk of its map, in which layer that chunk is. A few KiB, all in memory.</summary>
internal sealed class MapDirectory
{
    private readonly byte[] _bytes;
    private readonly ulong _volume;

    private MapDirectory(ulong volume, ulong generation, int chunks, byte[] bytes)
    {
        (_volume, Generation, Chunks, _bytes) = (volume, generation, chunks, bytes);
        Words = new MapEntry[chunks];
    }

    internal ulong Generation { get; }
    internal int Chunks { get; }
    /// <summary>There is no such object: all of it is damaged.</summary>
    internal bool IsMissing { get; private init; }
    internal MapEntry[] Words { get; }

    internal static byte[] ObjectOf(ulong volume, ulong generation) => Encoding.ASCII.GetBytes($"d.{volume:x16}.{generation:x16}");

    /// <exception cref="ErrnoException">The store fails. Damage is no failure: its words are damaged.</exception>
    internal static async ValueTask<MapDirectory> LoadAsync(ObjectIo io, ulong volume, ulong generation, int chunks)
    {
        var bytes = new byte[SectorsFor(chunks) * MapGeometry.SectorBytes];
        var (status, missing) = await io.ReadAsync(ObjectOf(volume, generation), 0, bytes);
        if (status != 0) throw Failed(volume, generation, "read", status);
        var directory = new MapDirectory(volume, generation, chunks, bytes) { IsMissing = missing };
        for (int chunk = 0; chunk < chunks; chunk++)
        {
            var sector = directory.SectorOf(chunk / MapGeometry.SectorEntries);
            directory.Words[chunk] = MapSector.IsSound(sector, volume, chunk / MapGeometry.SectorEntries) ? MapSector.Get(sector, chunk % MapGeometry.SectorEntries) : MapEntry.Damaged;
        }

        return directory;
    }

    /// <summary>Of a volume that is lost: each word as of damage.</summary>
    internal static MapDirectory Lost(ulong volume, int chunks)
    {
        var directory = new MapDirectory(volume, 0, chunks, []) { IsMissing = true };
        Array.Fill(directory.Words, MapEntry.Damaged);
        return directory;
    }

    /// <summary>
    /// A new directory, not yet in the store, with the first words of <paramref name="from"/> and the others those of chunks of which nothing is known but that
    /// their objects are in <paramref name="layer"/>, if they exist.
    /// </summary>
    internal static MapDirectory Make(ulong volume, ulong generation, int chunks, MapDirectory? from, ulong layer)
    {
        var directory = new MapDirectory(volume, generation, chunks, new byte[SectorsFor(chunks) * MapGeometry.SectorBytes]);
        for (int chunk = 0; chunk < chunks; chunk++)
            directory.Words[chunk] = from != null && chunk < from.Chunks ? from.Words[chunk] : MapEntry.Of(layer, false);
        return directory;
    }

    /// <summary>Writes all of it, stable.</summary>
    internal async ValueTask SaveAsync(ObjectIo io, uint flow = 0)
    {
        for (int sector = 0; sector < SectorsFor(Chunks); sector++) Fill(sector);
        int status = await io.WriteAsync(ObjectOf(_volume, Generation), 0, _bytes, flow);
        if (status != 0) throw Failed(_volume, Generation, "written", status);
    }

    /// <summary>Writes the sector of a chunk's word, stable: the commit point of a new chunk. The word in memory changes when that is done.</summary>
    internal async ValueTask PutAsync(ObjectIo io, int chunk, MapEntry word, uint flow)
    {
        int sector = chunk / MapGeometry.SectorEntries;
        var old = Words[chunk];
        Words[chunk] = word;
        Fill(sector);
        // Nobody may build on it before it is stable.
        Words[chunk] = old;
        int status = await io.WriteAsync(
            ObjectOf(_volume, Generation), (ulong)sector * MapGeometry.SectorBytes, _bytes.AsMemory(sector * MapGeometry.SectorBytes, MapGeometry.SectorBytes), flow);
        if (status != 0) throw Failed(_volume, Generation, "written", status);
        Words[chunk] = word;
    }

    /// <summary>Of what was loaded.</summary>
    internal bool IsSectorSound(int sector) => MapSector.IsSound(SectorOf(sector), _volume, sector);

    private static int SectorsFor(int chunks) => (chunks + MapGeometry.SectorEntries - 1) / MapGeometry.SectorEntries;

    private Span<byte> SectorOf(int sector) => _bytes.AsSpan(sector * MapGeometry.SectorBytes, MapGeometry.SectorBytes);

    private void Fill(int sector)
    {
        var bytes = SectorOf(sector);
        bytes.Clear();
        int from = sector * MapGeometry.SectorEntries, count = Math.Min(MapGeometry.SectorEntries, Chunks - from);
        // A damaged word is written as what no reader takes for one: the damage stays known, of that chunk alone.
        for (int i = 0; i < count; i++) MapSector.Set(bytes, i, Words[from + i]);
        MapSector.Seal(bytes, _volume, sector);
    }

    private static ErrnoException Failed(ulong volume, ulong generation, string what, int status) =>
        new(status, $"map: object d.{volume:x16}.{generation:x16} cannot be {what}: {Errno.Describe(status)}");
}
