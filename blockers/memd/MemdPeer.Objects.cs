using System.Security.Cryptography;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Memd;

/// <summary>The ops on whole objects.</summary>
public sealed unsafe partial class MemdPeer
{
    private int Flush(in Request request)
    {
        _store.Flush(request.Flow);
        return 0;
    }

    private int Zero(in Request request, bool extend)
    {
        ulong offset = request.Offset, length = request.Length;
        uint flow = request.Flow;
        if (!Fits(offset, length)) return XsegErrno.EFBIG;
        var target = _store.Find(request.Hash, request.Target);
        if (target != null)
        {
            if (extend && length != 0 && offset + length > target.Size) _store.SetSize(target, offset + length, flow);
            ulong end = Math.Min(offset + length, target.Size);
            for (ulong at = offset; at < end;)
            {
                int index = (int)(at >> 12), inside = (int)(at & 4095), part = (int)Math.Min((ulong)(4096 - inside), end - at);
                // To the end of the object is to the end of the chunk: what follows is zeros already.
                if (inside == 0 && (part == 4096 || at + (ulong)part == target.Size)) _store.Clear(target, index, flow);
                else if (target.ChunkAt(index) != 0) new Span<byte>(_store.Writable(target, index, whole: false, flow) + inside, part).Clear();
                at += (ulong)part;
            }
        }

        request.Serviced = length;
        Written(request, target);
        return 0;
    }

    private int Truncate(in Request request)
    {
        ulong size = request.Length;
        if (size > MaxObject) return XsegErrno.EFBIG;
        var name = request.Target;
        if (name.IsEmpty) return XsegErrno.EINVAL;
        var target = _store.FindOrCreate(request.Hash, name, request.Flow);
        _store.SetSize(target, size, request.Flow);
        request.Serviced = size;
        Written(request, target);
        return 0;
    }

    private int Delete(in Request request)
    {
        var target = _store.Find(request.Hash, request.Target);
        if (target != null) _store.Delete(target, request.Flow);
        request.Serviced = target == null ? 0u : 1u;
        Written(request, target);
        return 0;
    }

    private int Copy(in Request request)
    {
        ulong length = request.Length;
        uint flow = request.Flow;
        if (!Fits(0, length)) return XsegErrno.EFBIG;
        var name = request.Target;
        var sourceName = request.Source;
        if (request.Offset != 0 || name.IsEmpty || sourceName.IsEmpty) return XsegErrno.EINVAL;
        var source = _store.Find(Hash128.Of(sourceName), sourceName);
        if (source == null) return XsegErrno.ENOENT;
        var target = _store.Find(request.Hash, name);
        if (target != null && (request.Flags & RequestFlags.Exclusive) != 0) return XsegErrno.EEXIST;
        ulong size = Math.Min(length, source.Size);
        if (_options.Capacity != 0 && !HasRoom(target, 0, Used(source, size))) return XsegErrno.ENOSPC;

        target ??= _store.FindOrCreate(request.Hash, name, flow);
        if (target != source)
        {
            for (int i = 0; i <= (int)((MaxObject - 1) >> 12); i++)
            {
                byte* from = (ulong)i << 12 < size ? (byte*)source.ChunkAt(i) : null;
                if (from == null) _store.Clear(target, i, flow);
                else Buffer.MemoryCopy(from, _store.Writable(target, i, whole: true, flow), ChunkPool.ChunkSize, ChunkPool.ChunkSize);
            }

            // So that the tail of the last chunk, which the source may still use, is cut off below.
            if (target.Size < source.Size) _store.SetSize(target, source.Size, flow);
        }

        _store.SetSize(target, size, flow);
        request.Serviced = size;
        Written(request, target);
        return 0;
    }

    private static int Used(MemoryObject source, ulong size)
    {
        int used = 0;
        for (int i = 0; (ulong)i << 12 < size; i++)
            if (source.ChunkAt(i) != 0) used++;
        return used;
    }

    private int Info(in Request request)
    {
        var target = _store.Find(request.Hash, request.Target);
        if (target == null) return XsegErrno.ENOENT;
        request.Serviced = target.Size;
        return 0;
    }

    private int Hash(in Request request)
    {
        var target = _store.Find(request.Hash, request.Target);
        if (target == null && (request.Flags & RequestFlags.MustExist) != 0) return XsegErrno.ENOENT;
        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long zeros = 0;
        for (int i = 0; target != null && i < target.Chunks.Length; i++)
        {
            var chunk = new ReadOnlySpan<byte>((void*)target.ChunkAt(i), target.ChunkAt(i) == 0 ? 0 : ChunkPool.ChunkSize);
            int used = chunk.LastIndexOfAnyExcept((byte)0) + 1;
            if (used > 0)
            {
                for (; zeros > 0; zeros -= ChunkPool.ChunkSize) sha.AppendData(s_zeros, 0, (int)Math.Min(zeros, ChunkPool.ChunkSize));
                zeros = 0;
                sha.AppendData(chunk[..used]);
            }

            zeros += ChunkPool.ChunkSize - used;
        }

        sha.GetHashAndReset(request.Result[..32]);
        request.Serviced = 32;
        return 0;
    }

    private static readonly byte[] s_zeros = new byte[ChunkPool.ChunkSize];
}
