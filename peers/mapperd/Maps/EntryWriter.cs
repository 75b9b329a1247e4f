using Archipelago.Maps;
using Archipelago.Mapperd.Volumes;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Mapperd.Maps;

/// <summary>
/// Changes entries of a volume's head. Those that come while one write is under way go together with the next: many objects of one sector cost one write.
/// Each is stable when it is answered. One reactor.
/// </summary>
/// <param name="volume">Whose entries.</param>
/// <param name="store">Where they are.</param>
/// <param name="leave">Told of a chunk that the head does not name any more: its number, and the word that named it.</param>
internal sealed class EntryWriter(Volume volume, VolumeStore store, Func<int, MapEntry, ValueTask> leave)
{
    private readonly uint _flow = volume.Flow;
    private List<(ulong Index, MapEntry Entry, Completion<int> Done)> _waiting = [];
    private bool _runs;

    /// <summary>Nothing is under way.</summary>
    internal bool IsIdle => !_runs;

    /// <summary>0 when the entry is in the store, or an errno: then the store may hold either.</summary>
    internal ValueTask<int> SetAsync(ulong index, MapEntry entry)
    {
        var done = new Completion<int>();
        _waiting.Add((index, entry, done));
        if (!_runs) _ = RunAsync();
        return done.Task;
    }

    private async Task RunAsync()
    {
        _runs = true;
        while (_waiting.Count > 0)
        {
            var batch = _waiting;
            _waiting = [];
            foreach (var ofChunk in batch.GroupBy(change => (int)(change.Index / MapGeometry.ChunkEntries)))
            {
                var (status, left) = await WriteAsync(ofChunk.Key, [.. ofChunk.Select(change => ((int)(change.Index % MapGeometry.ChunkEntries), change.Entry))]);
                foreach (var change in ofChunk) change.Done.Set(status);
                if (left.IsPresent) await leave(ofChunk.Key, left);
            }
        }

        _runs = false;
    }

    /// <summary>An errno; the word of the chunk that is named no more.</summary>
    private async ValueTask<(int Status, MapEntry Left)> WriteAsync(int chunk, (int At, MapEntry Entry)[] changes)
    {
        try
        {
            // Changes whose outcome is not known may have unloaded it; who waits for an entry has to begin anew then.
            if (!volume.IsLoaded) return (Errno.EAGAIN, default);
            var directory = volume.Head.Directory;
            ulong own = volume.Root!.Layer;
            var word = directory.Words[chunk];
            if (word.IsDamaged) return (Errno.EIO, default);
            var old = word.IsPresent ? await store.Chunks.GetAsync(word.Layer, chunk) : null;
            if (old != null && Array.Exists(changes, change => !old.IsSound(change.At))) return (Errno.EIO, default);
            if (old != null && word.Layer == own)
            {
                await store.Chunks.PutEntriesAsync(old, changes, _flow);
                return default;
            }

            // The first change of this chunk since the layer is ours: a new chunk, then the word that names it.
            var fresh = old != null ? Chunk.Copy(old, own) : Chunk.Uniform(own, chunk, word.Layer);
            foreach (var ofSector in changes.GroupBy(change => change.At / MapGeometry.SectorEntries))
                fresh.Replace(ofSector.Key, fresh.With(ofSector.Key, ofSector));
            await store.Chunks.PutAsync(fresh, _flow);
            await directory.PutAsync(store.Meta, chunk, MapEntry.Of(own, true), _flow);
            return (0, word);
        }
        catch (ErrnoException failed)
        {
            return (failed.Errno, default);
        }
    }
}
