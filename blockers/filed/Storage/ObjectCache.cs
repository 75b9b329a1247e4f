using Archipelago.Filed.Native;
using Archipelago.Xseg;

namespace Archipelago.Filed.Storage;

/// <summary>
/// The objects that are open, in use or not yet stable, and which of them were used least recently. One reactor.
/// </summary>
internal sealed class ObjectCache
{
    private StoredObject?[] _buckets = new StoredObject?[1024];
    private StoredObject? _newest, _oldest;

    /// <summary>Objects known.</summary>
    internal int Count { get; private set; }
    /// <summary>The least recently used one.</summary>
    internal StoredObject? Oldest => _oldest;

    internal StoredObject? Find(Hash128 hash, ReadOnlySpan<byte> name)
    {
        var at = _buckets[(int)hash.Low & (_buckets.Length - 1)];
        while (at != null && (at.Hash != hash || !name.SequenceEqual(at.Name))) at = at.NextInBucket;
        return at;
    }

    internal StoredObject Add(Hash128 hash, ReadOnlySpan<byte> name)
    {
        if (Count++ >= _buckets.Length) Grow();
        var added = new StoredObject(hash, name.ToArray());
        ref var head = ref _buckets[(int)hash.Low & (_buckets.Length - 1)];
        (added.NextInBucket, head) = (head, added);
        LinkNewest(added);
        return added;
    }

    /// <summary>The object is the most recently used one.</summary>
    internal void Touch(StoredObject used)
    {
        if (used == _newest) return;
        Unlink(used);
        LinkNewest(used);
    }

    /// <summary>Forgets an idle, stable object and closes it.</summary>
    internal void Remove(StoredObject removed)
    {
        Close(removed);
        Unlink(removed);
        ref var at = ref _buckets[(int)removed.Hash.Low & (_buckets.Length - 1)];
        while (at != removed) at = ref at!.NextInBucket;
        at = removed.NextInBucket;
        Count--;
    }

    /// <summary>Of the least recently used objects the first one that is idle and as dirty as asked for, or null.</summary>
    internal StoredObject? Victim(bool dirty)
    {
        const int Depth = 64;
        int seen = 0;
        for (var at = _oldest; at != null && seen < Depth; at = at.Newer, seen++)
            if (at.IsIdle && at.IsDirty == dirty) return at;
        return null;
    }

    internal void CloseAll()
    {
        for (var at = _oldest; at != null; at = at.Newer) Close(at);
    }

    private static void Close(StoredObject closed)
    {
        if (closed.Fd >= 0) _ = Libc.close(closed.Fd);
        if (closed.DirectFd >= 0) _ = Libc.close(closed.DirectFd);
        (closed.Fd, closed.DirectFd) = (-1, -1);
    }

    private void LinkNewest(StoredObject added)
    {
        (added.Newer, added.Older) = (null, _newest);
        if (_newest != null) _newest.Newer = added;
        _newest = added;
        _oldest ??= added;
    }

    private void Unlink(StoredObject removed)
    {
        if (removed.Newer != null) removed.Newer.Older = removed.Older;
        else _newest = removed.Older;
        if (removed.Older != null) removed.Older.Newer = removed.Newer;
        else _oldest = removed.Newer;
    }

    private void Grow()
    {
        var old = _buckets;
        _buckets = new StoredObject?[old.Length * 4];
        foreach (var head in old)
            for (var at = head; at != null;)
            {
                var next = at.NextInBucket;
                ref var bucket = ref _buckets[(int)at.Hash.Low & (_buckets.Length - 1)];
                (at.NextInBucket, bucket) = (bucket, at);
                at = next;
            }
    }
}
