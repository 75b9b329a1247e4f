using System.Text;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Volumes;

/// <summary>
/// Makes the content of a new volume from objects of the store: the store copies each into the volume's own layer, all is made stable, then the map names it. Until the
/// volume has its name nobody reads any of it. One reactor.
/// </summary>
internal sealed class Assembly(IReactor reactor, ObjectIo meta, ObjectIo data, SourceList list, string volume, ulong size, int objectSize, int fanOut)
{
    private const int Burst = 64;
    private int _copied;

    /// <summary>Told what it is at, how many objects that has been done for, and of how many.</summary>
    internal Func<string, long, long, ValueTask>? Tell { get; init; }
    /// <summary>Throws if it is to end.</summary>
    internal required Action ThrowIfEnded { get; init; }

    /// <summary>Looks whether the names can be sources, before anything is made.</summary>
    /// <exception cref="ErrnoException">EINVAL, EFBIG: with the line.</exception>
    internal void CheckNames()
    {
        ulong objects = MapGeometry.ObjectsFor(size, objectSize);
        if ((ulong)list.Names.Count > objects) throw new ErrnoException(Errno.EINVAL, $"volume {volume}: the list has {list.Names.Count} objects of {objectSize} bytes, and {size} bytes are {objects}");
        for (int i = 0; i < list.Names.Count; i++)
        {
            var name = list.Names[i].Span;
            if (name.Length > SourceList.MaxNameBytes) throw Refuse(i, Errno.EINVAL, $"a name of {name.Length} bytes: expected at most {SourceList.MaxNameBytes}");
            if (name.Length >= 2 && name[1] == (byte)'.' && "nvdcmol"u8.Contains(name[0]))
                throw Refuse(i, Errno.EINVAL, "names that begin with n. v. d. c. m. l. or o. are those of volumes, whose objects may change or go while they are copied; clone a snapshot (`archipelago volume clone`)");
        }
    }

    /// <summary>Looks whether all sources exist and fit.</summary>
    /// <exception cref="ErrnoException">ENOENT, EINVAL: with the line. The store's own.</exception>
    internal ValueTask CheckSourcesAsync() => ForEachAsync("looking for the objects", async i =>
    {
        var (status, bytes) = await data.RunAsync(XsegOp.Info, data.Flow, list.Names[i]);
        if (status != 0) throw Refuse(i, status, status == Errno.ENOENT ? "there is no such object in the store" : $"it cannot be asked for its size: {Errno.Describe(status)}");
        if (bytes > LengthOf(i)) throw Refuse(i, Errno.EINVAL, $"it has {bytes} bytes, of which the volume has room for {LengthOf(i)} there");
    });

    /// <summary>Copies all of it, stable, and writes the map that names it.</summary>
    /// <exception cref="ErrnoException">The store's, with the line.</exception>
    internal async ValueTask FillAsync(VolumeRoot root, MapDirectory directory)
    {
        await ForEachAsync("copying the objects", async i =>
        {
            _copied = Math.Max(_copied, i + 1);
            var (status, _) = await data.RunAsync(XsegOp.Copy, data.Flow, LayerName.Data(root.Layer, (ulong)i), 0, LengthOf(i), source: list.Names[i]);
            if (status != 0) throw Refuse(i, status, $"it cannot be copied: {Errno.Describe(status)}");
        });
        int flushed = await data.FlushAsync(data.Flow);
        if (flushed != 0) throw new ErrnoException(flushed, $"volume {volume}: the copies cannot be made stable: {Errno.Describe(flushed)}");
        foreach (int index in Chunks())
        {
            var chunk = Chunk.Uniform(root.Layer, index, root.Layer);
            int first = index * MapGeometry.ChunkEntries, end = Math.Min(list.Names.Count, first + MapGeometry.ChunkEntries);
            var present = Enumerable.Range(first, end - first).Where(i => !list.Names[i].IsEmpty).Select(i => (At: i - first, Entry: MapEntry.Of(root.Layer, true)));
            foreach (var ofSector in present.GroupBy(entry => entry.At / MapGeometry.SectorEntries)) chunk.Replace(ofSector.Key, chunk.With(ofSector.Key, ofSector));
            // Not kept: the volume has no lock that says who may remember it.
            int status = await meta.WriteAsync(LayerName.Chunk(root.Layer, index), 0, chunk.Bytes);
            if (status != 0) throw new ErrnoException(status, $"volume {volume}: a chunk of its map cannot be written: {Errno.Describe(status)}");
            directory.Words[index] = MapEntry.Of(root.Layer, true);
        }

        await directory.SaveAsync(meta);
    }

    /// <summary>Removes what was copied for a volume that did not come to be; what cannot be removed is left to the collector.</summary>
    internal async ValueTask ClearAsync(ulong layer)
    {
        for (int i = 0; i < _copied; i++)
            if (!list.Names[i].IsEmpty) await data.RunAsync(XsegOp.Delete, data.Flow, LayerName.Data(layer, (ulong)i));
        foreach (int index in Chunks()) await meta.RunAsync(XsegOp.Delete, meta.Flow, LayerName.Chunk(layer, index));
    }

    private IEnumerable<int> Chunks() =>
        Enumerable.Range(0, MapGeometry.ChunksFor((ulong)list.Names.Count)).Where(chunk => list.Names.Skip(chunk * MapGeometry.ChunkEntries).Take(MapGeometry.ChunkEntries).Any(name => !name.IsEmpty));

    private ulong LengthOf(int index) => Math.Min((ulong)objectSize, size - (ulong)index * (ulong)objectSize);

    /// <summary>All that are no holes, a few at a time; of those that fail the first in the list is told.</summary>
    private async ValueTask ForEachAsync(string step, Func<int, ValueTask> each)
    {
        int next = 0;
        (int Index, ErrnoException Fault)? failed = null;
        await Task.WhenAll(Enumerable.Range(0, Math.Min(fanOut, Math.Max(1, list.Names.Count))).Select(_ => WorkAsync()));
        if (failed != null) throw failed.Value.Fault;
        ThrowIfEnded();

        async Task WorkAsync()
        {
            while (failed == null && next < list.Names.Count)
            {
                int at = next++;
                try
                {
                    ThrowIfEnded();
                    if (!list.Names[at].IsEmpty) await each(at);
                    if (Tell != null) await Tell(step, at + 1, list.Names.Count);
                }
                catch (ErrnoException fault)
                {
                    if (failed == null || at < failed.Value.Index) failed = (at, fault);
                }

                // Where the store is a mere call the reactor has others to serve, too.
                if (at % Burst == 0) await reactor.Delay(TimeSpan.Zero);
            }
        }
    }

    private ErrnoException Refuse(int index, int errno, string what)
    {
        string name = Encoding.UTF8.GetString(list.Names[index].Span[..Math.Min(list.Names[index].Length, 100)]);
        return new ErrnoException(errno, $"volume {volume}: line {index + 1} of the list, \"{name}\": {what}");
    }
}
