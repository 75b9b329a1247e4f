using System.Buffers.Binary;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Maps;

/// <summary>
/// The map of a volume or a snapshot as mapperd keeps it: chunks of entries, each fetched when it is needed for the first time. What has to be copied up is
/// asked for, object by object. 8 bytes per object of the chunks in use, none where all entries of one are the same, and 16 per object that was asked for.
/// </summary>
internal sealed class ChunkMap : IObjectMap
{
    private readonly ObjectIo _maps;
    private readonly byte[] _volume;
    private readonly RequestFlags _flags;
    private readonly bool _isView;
    private readonly Dictionary<int, Task<int>> _loading = [];
    private readonly Dictionary<ulong, Move> _moves = [];
    private LayerName _name = new('o');
    private Chunk?[] _chunks = [];
    private ulong _own;

    /// <summary>Entries, and hashes of the names of objects that were asked for, by 64.</summary>
    private sealed class Chunk
    {
        private readonly Hash128[]?[] _hashes = new Hash128[MapGeometry.ChunkEntries / HashGroup][];
        private readonly ushort[]?[] _readers = new ushort[MapGeometry.ChunkEntries / HashGroup][];
        private MapEntry[]? _entries;
        private System.Collections.BitArray? _holes;
        private MapEntry _same;

        private const int HashGroup = 64;

        internal static Chunk Read(ReadOnlySpan<byte> bytes)
        {
            var chunk = new Chunk { _same = new MapEntry(BinaryPrimitives.ReadUInt64LittleEndian(bytes)) };
            // The usual chunk of a volume that was never cloned, and never snapshotted.
            if (bytes[8..].SequenceEqual(bytes[..^8])) return chunk;
            chunk._entries = new MapEntry[MapGeometry.ChunkEntries];
            for (int i = 0; i < chunk._entries.Length; i++) chunk._entries[i] = new MapEntry(BinaryPrimitives.ReadUInt64LittleEndian(bytes[(i * 8)..]));
            return chunk;
        }

        internal MapEntry this[uint at] => _entries is { } entries ? entries[at] : _same;

        internal ref Hash128 Hash(uint at) => ref (_hashes[at / HashGroup] ??= new Hash128[HashGroup])[at % HashGroup];

        /// <summary>READs under way of an object that is not our own.</summary>
        internal ref ushort Readers(uint at) => ref (_readers[at / HashGroup] ??= new ushort[HashGroup])[at % HashGroup];

        /// <summary>Missing in a layer that never changes again: for ever.</summary>
        internal bool IsHole(uint at) => _holes is { } holes && holes[(int)at];

        internal void SetHole(uint at) => (_holes ??= new System.Collections.BitArray(MapGeometry.ChunkEntries))[(int)at] = true;

        internal void Set(uint at, MapEntry entry)
        {
            if (this[at] == entry) return;
            if (_entries == null) Array.Fill(_entries = new MapEntry[MapGeometry.ChunkEntries], _same);
            if (_entries[at].Layer != entry.Layer)
            {
                Hash(at) = default;
                if (_holes is { } holes) holes[(int)at] = false;
            }

            _entries[at] = entry;
        }
    }

    /// <summary>An object that is being made our own: who reads it is waited for, who comes later waits.</summary>
    private sealed class Move
    {
        internal TaskCompletionSource Unread { get; } = new();
        internal TaskCompletionSource Ended { get; } = new();
    }

    /// <param name="maps">To mapperd, in the volume's flow.</param>
    /// <param name="volume">Name of the volume or snapshot.</param>
    /// <param name="isReadOnly">It was opened so.</param>
    internal ChunkMap(ObjectIo maps, byte[] volume, bool isReadOnly) =>
        (_maps, _volume, _flags, _isView) = (maps, volume, isReadOnly ? RequestFlags.ReadOnly : RequestFlags.None, isReadOnly && !volume.Contains((byte)'@'));

    public bool TryFind(ulong index, ObjectAccess access, out ObjectTarget target)
    {
        target = default;
        uint chunk = (uint)(index / MapGeometry.ChunkEntries), at = (uint)(index % MapGeometry.ChunkEntries);
        if (chunk >= (uint)_chunks.Length || _chunks[chunk] is not { } known) return false;
        var entry = known[at];
        bool isOwn = entry.Layer == _own;
        if (!isOwn || access == ObjectAccess.Drop)
        {
            if (!entry.IsSane)
            {
                target.Errno = Errno.EIO;
                return true;
            }

            if (access != ObjectAccess.Read && (!isOwn || entry.IsPresent)) return false;
            if (!isOwn && _moves.Count != 0 && _moves.ContainsKey(index)) return false;
        }

        if (access == ObjectAccess.Read && known.IsHole(at))
        {
            target.IsHole = true;
            return true;
        }

        target.Name = _name.Of(entry.Layer, index);
        ref var hash = ref known.Hash(at);
        if (hash == default) hash = Hash128.Of(target.Name);
        target.Hash = hash;
        // Of what another host changes nobody knows which layer is its own by now.
        target.Flags = access == ObjectAccess.Read ? (entry.IsPresent ? RequestFlags.MustExist : 0) | (isOwn || _isView ? 0 : RequestFlags.Shared) : 0;
        target.MayDelete = isOwn && !entry.IsPresent;
        target.MayMove = !isOwn && (_flags & RequestFlags.ReadOnly) == 0;
        return true;
    }

    public ValueTask<int> PrepareAsync(ulong index, ObjectAccess access, Request parent)
    {
        int chunk = (int)(index / MapGeometry.ChunkEntries);
        if (chunk >= _chunks.Length) return new ValueTask<int>(Errno.EINVAL);
        if (_moves.TryGetValue(index, out var move)) return EndOfAsync(move);
        // What is only to be read is known now.
        if (_chunks[chunk] is { } known) return access == ObjectAccess.Read ? new ValueTask<int>(0) : TakeAsync(known, index, access);
        if (!_loading.TryGetValue(chunk, out var loading))
        {
            loading = LoadAsync(chunk);
            if (!loading.IsCompleted) _loading.Add(chunk, loading);
        }

        return new ValueTask<int>(loading);
    }

    public void Change(ulong objects, ulong layer, bool isKnown)
    {
        Array.Resize(ref _chunks, MapGeometry.ChunksFor(objects));
        if (!isKnown) Array.Clear(_chunks);
        _own = layer;
        _loading.Clear();
    }

    private async Task<int> LoadAsync(int chunk)
    {
        var bytes = new byte[MapGeometry.ChunkEntries * 8];
        var into = _chunks;
        var (status, _) = await _maps.ReadAsync(_volume, (ulong)chunk * (ulong)bytes.Length, bytes, _flags);
        _loading.Remove(chunk);
        // Meanwhile the map may have changed as a whole.
        if (status != 0 || !ReferenceEquals(into, _chunks)) return status;
        into[chunk] = Chunk.Read(bytes);
        return 0;
    }

    public async ValueTask<int> ConfirmHoleAsync(ulong index, ulong layer)
    {
        // What is written to has the lock: nobody else removes what is its own.
        bool writes = (_flags & RequestFlags.ReadOnly) == 0;
        if (writes && layer == _own) return 0;
        var bytes = new byte[8];
        var chunks = _chunks;
        var (status, _) = await _maps.ReadAsync(_volume, index * 8, bytes, _flags);
        // Its name is free, or another's: what was missing may have been removed with it.
        if (status == Errno.ENOENT) return Errno.ESTALE;
        if (status != 0) return status;
        var entry = new MapEntry(BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        uint chunk = (uint)(index / MapGeometry.ChunkEntries), at = (uint)(index % MapGeometry.ChunkEntries);
        if (!ReferenceEquals(chunks, _chunks) || chunk >= (uint)chunks.Length || chunks[chunk] is not { } known) return Errno.EAGAIN;
        // A write has made it our own meanwhile: what was answered is older.
        if (writes && known[at].Layer != layer) return Errno.EAGAIN;
        if (entry.Layer != layer)
        {
            // A snapshot's map never changes: this is another one. That of a volume that is written to does, by a FLATTEN, of which this peer is told behind its end.
            if (!_isView && !writes) return Errno.ESTALE;
            known.Set(at, entry);
            return Errno.EAGAIN;
        }

        // What must exist and does not is lost, and no hole.
        if (!_isView && !entry.IsPresent) known.SetHole(at);
        return 0;
    }

    public bool MayMove(ulong layer) => layer != _own && (_flags & RequestFlags.ReadOnly) == 0;

    public void BeginRead(ulong index) => _chunks[index / MapGeometry.ChunkEntries]!.Readers((uint)(index % MapGeometry.ChunkEntries))++;

    public void EndRead(ulong index)
    {
        if (--_chunks[index / MapGeometry.ChunkEntries]!.Readers((uint)(index % MapGeometry.ChunkEntries)) == 0 && _moves.TryGetValue(index, out var move)) move.Unread.TrySetResult();
    }

    private static async ValueTask<int> EndOfAsync(Move move)
    {
        await move.Ended.Task;
        return 0;
    }

    /// <summary>
    /// Asks mapperd. The object that the map names until now may be deleted before the answer is here: a READ of it that is under way would show zeros.
    /// </summary>
    private async ValueTask<int> TakeAsync(Chunk chunk, ulong index, ObjectAccess access)
    {
        var move = new Move();
        _moves.Add(index, move);
        try
        {
            if (chunk.Readers((uint)(index % MapGeometry.ChunkEntries)) > 0) await move.Unread.Task;
            return await AskAsync(chunk, index, access);
        }
        finally
        {
            _moves.Remove(index);
            move.Ended.SetResult();
        }
    }

    private async ValueTask<int> AskAsync(Chunk chunk, ulong index, ObjectAccess access)
    {
        var result = new byte[8];
        var (status, _) = await _maps.RunAsync(
            XsegOp.MapWrite, _maps.Flow, _volume, index * 8, 8, access is ObjectAccess.Drop or ObjectAccess.Zero ? RequestFlags.Force : RequestFlags.None, result: result);
        if (status != 0) return status;
        var entry = new MapEntry(BinaryPrimitives.ReadUInt64LittleEndian(result));
        chunk.Set((uint)(index % MapGeometry.ChunkEntries), entry);
        // Mapperd says whose it is; if it is not ours, we are not what we believe to be.
        return entry.Layer == _own ? 0 : Errno.ESTALE;
    }
}
