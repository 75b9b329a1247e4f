using Archipelago.Xseg;

namespace Archipelago.Memd;

/// <summary>One object: its size and its chunks, and in a volatile store what they were at the last FLUSH.</summary>
internal sealed class MemoryObject(Hash128 hash, byte[] name)
{
    internal readonly Hash128 Hash = hash;
    internal readonly byte[] Name = name;
    /// <summary>Next object of the same bucket of the table.</summary>
    internal MemoryObject? Next;
    /// <summary>False for one that was deleted (or never was) and is kept only for what a crash brings back.</summary>
    internal bool Exists;
    internal ulong Size;
    /// <summary>Chunk i, or 0 where there are zeros. May be shorter than the object. Bytes past the size are zeros.</summary>
    internal nint[] Chunks = [];

    /// <summary>True if something was changed since the object was last stable; only in a volatile store.</summary>
    internal bool IsDirty;
    /// <summary>The flow that changed it, if it was one only.</summary>
    internal uint DirtyFlow;
    internal bool ManyFlows;
    internal bool StableExists;
    internal ulong StableSize;
    /// <summary>Chunks (0: zeros) as they were when last stable, where they have changed since.</summary>
    internal readonly Dictionary<int, nint> StableChunks = [];

    internal nint ChunkAt(int index) => (uint)index < (uint)Chunks.Length ? Chunks[index] : 0;

    internal void SetChunk(int index, nint chunk)
    {
        if (index >= Chunks.Length)
        {
            if (chunk == 0) return;
            Array.Resize(ref Chunks, Math.Max(4, (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)index + 1)));
        }

        Chunks[index] = chunk;
    }
}
