using Archipelago.Maps;
using Archipelago.Runtime;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Maps;

/// <summary>
/// Chunks of maps, of all volumes and snapshots: those that were used last are kept in memory, clones share them. A chunk is in memory as it is in the
/// store: changes are written first. One reactor.
/// </summary>
internal sealed class ChunkStore(ObjectIo io, long memory, ILogger log)
{
    private readonly Dictionary<(ulong Layer, int Index), Chunk> _chunks = [];
    private readonly Dictionary<(ulong Layer, int Index), (long Forgotten, Task<Chunk> Task)> _loading = [];
    private readonly LinkedList<Chunk> _byUse = new();
    /// <summary>Rises with all that is forgotten: what is read over it may be out of date.</summary>
    private long _forgotten;
    private readonly int _most = (int)Math.Max(4, memory / MapGeometry.ChunkBytes);

    /// <summary>Chunks in memory.</summary>
    internal int Count => _chunks.Count;

    /// <exception cref="ErrnoException">The store fails. Damage is no failure: its entries are damaged.</exception>
    internal ValueTask<Chunk> GetAsync(ulong layer, int index)
    {
        if (_chunks.TryGetValue((layer, index), out var chunk))
        {
            _byUse.Remove(chunk.Use!);
            _byUse.AddFirst(chunk.Use!);
            return new ValueTask<Chunk>(chunk);
        }

        // What was forgotten since its reading began is read anew.
        if (_loading.TryGetValue((layer, index), out var loading) && loading.Forgotten == _forgotten) return new ValueTask<Chunk>(loading.Task);
        long forgotten = _forgotten;
        var load = LoadAsync(layer, index, forgotten);
        if (!load.IsCompleted) _loading[(layer, index)] = (forgotten, load);
        return new ValueTask<Chunk>(load);
    }

    /// <summary>Writes a whole chunk, stable, by a request of <paramref name="flow"/>; then it is kept.</summary>
    /// <exception cref="ErrnoException">The store fails.</exception>
    internal async ValueTask PutAsync(Chunk chunk, uint flow)
    {
        int status = await io.WriteAsync(LayerName.Chunk(chunk.Layer, chunk.Index), 0, chunk.Bytes, flow);
        if (status != 0) throw Failed(chunk.Layer, chunk.Index, "written", status);
        Keep(chunk);
    }

    /// <summary>
    /// Changes entries of a chunk, in the store first, sector by sector. If that fails nobody knows what the store holds: the chunk is forgotten. One at a time
    /// per chunk.
    /// </summary>
    internal async ValueTask PutEntriesAsync(Chunk chunk, (int At, MapEntry Entry)[] changes, uint flow)
    {
        // Who loaded it meanwhile would keep the old one.
        chunk.Pins++;
        int status = 0;
        foreach (var ofSector in changes.GroupBy(change => change.At / MapGeometry.SectorEntries))
        {
            byte[] bytes = chunk.With(ofSector.Key, ofSector);
            status = await io.WriteAsync(LayerName.Chunk(chunk.Layer, chunk.Index), (ulong)ofSector.Key * MapGeometry.SectorBytes, bytes, flow);
            if (status != 0) break;
            chunk.Replace(ofSector.Key, bytes);
        }

        chunk.Pins--;
        // If it was not kept, who loaded it meanwhile may have the old one.
        if (status != 0 || chunk.IsStale || _chunks.GetValueOrDefault((chunk.Layer, chunk.Index)) != chunk) Forget(chunk.Layer, chunk.Index);
        if (status == 0) return;
        throw Failed(chunk.Layer, chunk.Index, "written", status);
    }

    /// <summary>Forgets a chunk, or, while it is being changed, as soon as that has ended.</summary>
    internal void Forget(ulong layer, int index)
    {
        _forgotten++;
        if (!_chunks.TryGetValue((layer, index), out var chunk)) return;
        if (chunk.Pins > 0) chunk.IsStale = true;
        else Drop(chunk);
    }

    /// <summary>Forgets what another host may change from now on, or have changed: chunks of a layer that a volume writes to. What is being read is not kept.</summary>
    internal void ForgetLayer(ulong layer)
    {
        _forgotten++;
        foreach (var key in _chunks.Keys.Where(key => key.Layer == layer).ToArray()) Forget(key.Layer, key.Index);
    }

    /// <summary>Reads a chunk that another host may be changing: it is not kept.</summary>
    internal async ValueTask<Chunk> ReadAsync(ulong layer, int index)
    {
        var bytes = new byte[MapGeometry.ChunkBytes];
        var (status, missing) = await io.ReadAsync(LayerName.Chunk(layer, index), 0, bytes);
        if (status != 0) throw Failed(layer, index, "read", status);
        var chunk = Chunk.Read(layer, index, bytes);
        if (chunk.DamagedSectors is var damaged and > 0)
            log.LogError(
                "map: object {Object} is {What}: the parts of volumes that it maps fail with EIO until it is restored from a copy",
                System.Text.Encoding.ASCII.GetString(LayerName.Chunk(layer, index)), missing ? "missing" : $"damaged in {damaged} of {MapGeometry.ChunkSectors} sectors");
        return chunk;
    }

    private async Task<Chunk> LoadAsync(ulong layer, int index, long forgotten)
    {
        try
        {
            var chunk = await ReadAsync(layer, index);
            if (forgotten == _forgotten) Keep(chunk);
            return chunk;
        }
        finally
        {
            if (_loading.TryGetValue((layer, index), out var loading) && loading.Forgotten == forgotten) _loading.Remove((layer, index));
        }
    }

    private void Drop(Chunk chunk)
    {
        _chunks.Remove((chunk.Layer, chunk.Index));
        _byUse.Remove(chunk.Use!);
    }

    private void Keep(Chunk chunk)
    {
        if (_chunks.TryGetValue((chunk.Layer, chunk.Index), out var old)) Drop(old);
        _chunks.Add((chunk.Layer, chunk.Index), chunk);
        chunk.Use = _byUse.AddFirst(chunk);
        for (var last = _byUse.Last; last != null && _byUse.Count > _most;)
        {
            var (oldest, before) = (last.Value, last.Previous);
            if (oldest.Pins == 0 && oldest != chunk) Drop(oldest);
            last = before;
        }
    }

    private static ErrnoException Failed(ulong layer, int index, string what, int status) =>
        new(status, $"map: object {System.Text.Encoding.ASCII.GetString(LayerName.Chunk(layer, index))} cannot be {what}: {Errno.Describe(status)}");
}
