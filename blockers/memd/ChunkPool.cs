using System.Runtime.InteropServices;

namespace Archipelago.Memd;

/// <summary>
/// 4 KiB chunks of native memory, cut from slabs that are freed only with the pool: the collector never sees the data.
/// One reactor.
/// </summary>
internal sealed unsafe class ChunkPool : IDisposable
{
    internal const int ChunkSize = 4096;
    private const int SlabChunks = 256;

    private readonly List<nint> _slabs = [];
    private nint[] _free = new nint[SlabChunks];
    private int _count;

    /// <summary>Chunks handed out.</summary>
    internal long Used { get; private set; }

    /// <summary>A chunk with whatever was in it before.</summary>
    internal byte* Take()
    {
        if (_count == 0) AddSlab();
        Used++;
        return (byte*)_free[--_count];
    }

    internal void Give(byte* chunk)
    {
        Used--;
        if (_count == _free.Length) Array.Resize(ref _free, _free.Length * 2);
        _free[_count++] = (nint)chunk;
    }

    public void Dispose()
    {
        foreach (nint slab in _slabs) NativeMemory.AlignedFree((void*)slab);
        _slabs.Clear();
        _count = 0;
    }

    private void AddSlab()
    {
        byte* slab = (byte*)NativeMemory.AlignedAlloc(SlabChunks * ChunkSize, ChunkSize);
        _slabs.Add((nint)slab);
        for (int i = SlabChunks - 1; i >= 0; i--) _free[_count++] = (nint)(slab + i * ChunkSize);
    }
}
