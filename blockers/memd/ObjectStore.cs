using System.Runtime.CompilerServices;
using Archipelago.Xseg;

namespace Archipelago.Memd;

/// <summary>
/// The objects, by name. A volatile store keeps beside each changed chunk the stable one, until a FLUSH, and can go back to
/// these: a power failure. One reactor.
/// </summary>
internal sealed unsafe class ObjectStore(bool isVolatile) : IDisposable
{
    private readonly ChunkPool _pool = new();
    private readonly List<MemoryObject> _dirty = [];
    private MemoryObject?[] _buckets = new MemoryObject?[1024];
    private int _known;
    private long _saved;

    /// <summary>Objects that exist.</summary>
    internal long Objects { get; private set; }
    /// <summary>Chunks of the objects as they are now: what counts against the capacity.</summary>
    internal long Chunks => _pool.Used - _saved;
    /// <summary>Objects with changes that no FLUSH has covered.</summary>
    internal int Dirty => _dirty.Count;

    /// <summary>The object, or null if it does not exist.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal MemoryObject? Find(Hash128 hash, ReadOnlySpan<byte> name)
    {
        var found = Lookup(hash, name);
        return found is { Exists: true } ? found : null;
    }

    /// <summary>An object that was deleted, which no FLUSH has covered; or null.</summary>
    internal MemoryObject? FindDeleted(Hash128 hash, ReadOnlySpan<byte> name) => Lookup(hash, name) is { Exists: false } found ? found : null;

    internal MemoryObject FindOrCreate(Hash128 hash, ReadOnlySpan<byte> name, uint flow)
    {
        var found = Lookup(hash, name) ?? Insert(new MemoryObject(hash, name.ToArray()));
        if (found.Exists) return found;
        Touch(found, flow);
        found.Exists = true;
        Objects++;
        return found;
    }

    /// <summary>The objects that exist, in no order.</summary>
    internal IEnumerable<MemoryObject> All()
    {
        foreach (var head in _buckets)
            for (var at = head; at != null; at = at.Next)
                if (at.Exists) yield return at;
    }

    /// <summary>A chunk that may be written. With <paramref name="whole"/> its content is undefined: the caller sets all of it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal byte* Writable(MemoryObject target, int index, bool whole, uint flow)
    {
        nint chunk = target.ChunkAt(index);
        return chunk != 0 && !isVolatile ? (byte*)chunk : Replace(target, index, whole, flow);
    }

    /// <summary>Turns a chunk into zeros without memory.</summary>
    internal void Clear(MemoryObject target, int index, uint flow)
    {
        nint chunk = target.ChunkAt(index);
        if (chunk == 0) return;
        if (!Save(target, index, chunk, flow)) _pool.Give((byte*)chunk);
        target.SetChunk(index, 0);
    }

    internal void SetSize(MemoryObject target, ulong size, uint flow)
    {
        if (size == target.Size) return;
        Touch(target, flow);
        if (size < target.Size)
        {
            int inside = (int)(size % ChunkPool.ChunkSize), first = (int)(size / ChunkPool.ChunkSize);
            if (inside != 0 && target.ChunkAt(first) != 0)
                new Span<byte>(Writable(target, first, whole: false, flow) + inside, ChunkPool.ChunkSize - inside).Clear();
            for (int i = first + (inside != 0 ? 1 : 0); i < target.Chunks.Length; i++) Clear(target, i, flow);
        }

        target.Size = size;
    }

    internal void Delete(MemoryObject target, uint flow)
    {
        Touch(target, flow);
        for (int i = 0; i < target.Chunks.Length; i++) Clear(target, i, flow);
        (target.Size, target.Exists) = (0, false);
        Objects--;
        if (!isVolatile) Remove(target);
    }

    /// <summary>Makes stable what <paramref name="flow"/> (0: everybody) has changed.</summary>
    internal void Flush(uint flow)
    {
        int kept = 0;
        for (int i = 0; i < _dirty.Count; i++)
        {
            var changed = _dirty[i];
            if (flow == 0 || changed.ManyFlows || changed.DirtyFlow == flow) Commit(changed);
            else _dirty[kept++] = changed;
        }

        _dirty.RemoveRange(kept, _dirty.Count - kept);
    }

    /// <summary>Makes one object stable, whoever has changed it.</summary>
    internal void Flush(MemoryObject target)
    {
        if (!target.IsDirty) return;
        _dirty.Remove(target);
        Commit(target);
    }

    /// <summary>Power failure: everything is as it was when it was last flushed.</summary>
    internal void Crash()
    {
        foreach (var lost in _dirty)
        {
            foreach (var (index, stable) in lost.StableChunks)
            {
                nint chunk = lost.ChunkAt(index);
                if (chunk != 0) _pool.Give((byte*)chunk);
                if (stable != 0) _saved--;
                lost.SetChunk(index, stable);
            }

            Objects += (lost.StableExists ? 1 : 0) - (lost.Exists ? 1 : 0);
            (lost.Exists, lost.Size) = (lost.StableExists, lost.StableSize);
            Settle(lost);
        }

        _dirty.Clear();
    }

    public void Dispose() => _pool.Dispose();

    private byte* Replace(MemoryObject target, int index, bool whole, uint flow)
    {
        nint old = target.ChunkAt(index);
        if (old != 0 && !Save(target, index, old, flow)) return (byte*)old;
        if (old == 0) Save(target, index, 0, flow);
        byte* fresh = _pool.Take();
        if (old != 0 && !whole) Buffer.MemoryCopy((void*)old, fresh, ChunkPool.ChunkSize, ChunkPool.ChunkSize);
        else if (!whole) new Span<byte>(fresh, ChunkPool.ChunkSize).Clear();
        target.SetChunk(index, (nint)fresh);
        return fresh;
    }

    /// <summary>Keeps a chunk for a crash; false if it need not be kept: it is not stable itself, or the store is not volatile.</summary>
    private bool Save(MemoryObject target, int index, nint chunk, uint flow)
    {
        if (!isVolatile) return false;
        Touch(target, flow);
        if (!target.StableChunks.TryAdd(index, chunk)) return false;
        if (chunk != 0) _saved++;
        return true;
    }

    private void Touch(MemoryObject target, uint flow)
    {
        if (!isVolatile) return;
        if (target.IsDirty)
        {
            target.ManyFlows |= target.DirtyFlow != flow;
            return;
        }

        (target.IsDirty, target.ManyFlows, target.DirtyFlow) = (true, false, flow);
        (target.StableExists, target.StableSize) = (target.Exists, target.Size);
        _dirty.Add(target);
    }

    private void Commit(MemoryObject target)
    {
        foreach (var (_, stable) in target.StableChunks)
        {
            if (stable == 0) continue;
            _saved--;
            _pool.Give((byte*)stable);
        }

        Settle(target);
    }

    private void Settle(MemoryObject target)
    {
        target.StableChunks.Clear();
        target.IsDirty = false;
        if (!target.Exists) Remove(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private MemoryObject? Lookup(Hash128 hash, ReadOnlySpan<byte> name)
    {
        var at = _buckets[(int)hash.Low & (_buckets.Length - 1)];
        while (at != null && (at.Hash != hash || !name.SequenceEqual(at.Name))) at = at.Next;
        return at;
    }

    private MemoryObject Insert(MemoryObject added)
    {
        if (++_known > _buckets.Length) Grow();
        ref var head = ref _buckets[(int)added.Hash.Low & (_buckets.Length - 1)];
        (added.Next, head) = (head, added);
        return added;
    }

    private void Remove(MemoryObject removed)
    {
        ref var at = ref _buckets[(int)removed.Hash.Low & (_buckets.Length - 1)];
        while (at != null && at != removed) at = ref at.Next;
        if (at == null) return;
        at = removed.Next;
        _known--;
    }

    private void Grow()
    {
        var old = _buckets;
        _buckets = new MemoryObject?[old.Length * 4];
        foreach (var head in old)
            for (var at = head; at != null;)
            {
                var next = at.Next;
                ref var bucket = ref _buckets[(int)at.Hash.Low & (_buckets.Length - 1)];
                (at.Next, bucket) = (bucket, at);
                at = next;
            }
    }
}
