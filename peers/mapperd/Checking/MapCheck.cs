using System.Text;
using Archipelago.Mapperd.Inspection;
using Archipelago.Mapperd.Maps;
using Archipelago.Mapperd.Purging;
using Archipelago.Maps;

namespace Archipelago.Mapperd.Checking;

/// <summary>
/// Checks maps as the store holds them now, past all that is cached: directories, chunks and, if asked for, that the objects exist of which entries say so. A chunk that
/// several versions share is read once, unless it is damaged. One reactor.
/// </summary>
/// <param name="meta">Where maps are.</param>
/// <param name="sizes">Asks for objects; null if they are not to be looked for.</param>
/// <param name="listed">What the store was found to hold: these are not asked for. May be null.</param>
/// <param name="tell">Told after each part how many entries it had; throws to end the check.</param>
internal sealed class MapCheck(ObjectIo meta, ObjectSizes? sizes, Inventory? listed, Func<int, ValueTask> tell)
{
    private const string Restore = "restore the object from a copy (until then these bytes fail with EIO)";
    /// <summary>Sound chunks, and how many of their entries were looked at.</summary>
    private readonly Dictionary<(ulong Layer, int Chunk), int> _sound = [];

    /// <summary>Adds what is wrong with the map of a version.</summary>
    /// <param name="version"><c>volume</c> or <c>volume@snapshot</c>.</param>
    /// <param name="volume">Id of the volume.</param>
    /// <param name="directory">Its directory as it has just been read.</param>
    /// <param name="size">Bytes of the version.</param>
    /// <param name="objectSize">Bytes of an object.</param>
    /// <param name="found">Gets the findings.</param>
    /// <exception cref="Runtime.ErrnoException">The store fails.</exception>
    internal async ValueTask CheckAsync(string version, ulong volume, MapDirectory directory, ulong size, int objectSize, List<Finding> found)
    {
        string name = Encoding.ASCII.GetString(MapDirectory.ObjectOf(volume, directory.Generation));
        var range = new VersionRange(version, size, (ulong)objectSize);
        if (directory.IsMissing)
        {
            found.Add(range.Finding(name, "is missing: the directory of the whole map", Restore, 0, MapGeometry.MaxObjects));
            return;
        }

        for (int chunk = 0; chunk < directory.Chunks; chunk++)
        {
            var word = directory.Words[chunk];
            int sector = chunk / MapGeometry.SectorEntries;
            if (!directory.IsSectorSound(sector))
            {
                if (chunk % MapGeometry.SectorEntries == 0)
                    found.Add(range.Finding(name, $"sector {sector} is damaged: its checksum does not agree", Restore, (ulong)chunk * MapGeometry.ChunkEntries, MapGeometry.SectorEntries * MapGeometry.ChunkEntries));
            }
            else if (word.IsDamaged)
                found.Add(range.Finding(name, $"sector {sector}: the word of chunk {chunk} makes no sense", Restore, (ulong)chunk * MapGeometry.ChunkEntries, MapGeometry.ChunkEntries));
            else if (word.IsPresent)
                await CheckChunkAsync(range, word.Layer, chunk, found);
            else
                await tell(MapGeometry.ChunkEntries);
        }
    }

    private async ValueTask CheckChunkAsync(VersionRange range, ulong layer, int index, List<Finding> found)
    {
        ulong first = (ulong)index * MapGeometry.ChunkEntries;
        int count = (int)Math.Min(MapGeometry.ChunkEntries, range.Objects - first);
        if (_sound.GetValueOrDefault((layer, index)) >= count) return;
        byte[] name = LayerName.Chunk(layer, index), bytes = new byte[MapGeometry.ChunkBytes];
        string text = Encoding.ASCII.GetString(name);
        var (status, missing) = await meta.ReadAsync(name, 0, bytes);
        int before = found.Count;
        if (status != 0) found.Add(range.Finding(text, $"cannot be read: {Runtime.Errno.Describe(status)}", "see to the store, and check again", first, MapGeometry.ChunkEntries));
        else if (missing) found.Add(range.Finding(text, "is missing: a chunk of the map", Restore, first, MapGeometry.ChunkEntries));
        else await CheckEntriesAsync(range, Chunk.Read(layer, index, bytes), text, count, found);
        if (found.Count == before) _sound[(layer, index)] = count;
        await tell(count);
    }

    private async ValueTask CheckEntriesAsync(VersionRange range, Chunk chunk, string name, int count, List<Finding> found)
    {
        ulong first = (ulong)chunk.Index * MapGeometry.ChunkEntries;
        var present = new List<(ulong Layer, ulong Index)>();
        for (int at = 0; at < count; at++)
        {
            int sector = at / MapGeometry.SectorEntries;
            ulong index = first + (ulong)at;
            if (!chunk.IsSectorSound(sector))
            {
                if (at % MapGeometry.SectorEntries == 0) found.Add(range.Finding(name, $"sector {sector} is damaged: its checksum does not agree", Restore, index, MapGeometry.SectorEntries));
            }
            else if (chunk[at].IsDamaged)
                found.Add(range.Finding(name, $"sector {sector}: the entry of object {index} makes no sense", Restore, index, 1));
            else if (chunk[at].IsPresent)
                present.Add((chunk[at].Layer, index));
        }

        if (sizes == null) return;
        present.RemoveAll(place => listed?.Data.GetValueOrDefault(place.Layer)?[place.Index] == true);
        var known = await sizes.AskAsync(present);
        for (int i = 0; i < known.Length; i++)
            if (known[i] < 0)
                found.Add(range.Finding(
                    Encoding.ASCII.GetString(LayerName.Data(present[i].Layer, present[i].Index)), $"is missing: object {present[i].Index}, of which {name} says that it exists", Restore, present[i].Index, 1));
    }

    /// <summary>A version, by whose bytes findings are told.</summary>
    private readonly record struct VersionRange(string Version, ulong Size, ulong ObjectSize)
    {
        internal ulong Objects => MapGeometry.ObjectsFor(Size, (int)ObjectSize);

        internal Finding Finding(string name, string what, string advice, ulong firstObject, ulong objects)
        {
            ulong offset = firstObject * ObjectSize;
            return new Finding(Version, name, what, advice) { Offset = offset, Length = Math.Min(objects * ObjectSize, Size - offset) };
        }
    }
}
