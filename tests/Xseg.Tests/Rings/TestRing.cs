using System.Runtime.InteropServices;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Tests.Rings;

/// <summary>Memory of one ring.</summary>
internal sealed unsafe class TestRing : IDisposable
{
    private readonly byte* _memory;
    private readonly int _capacity;

    internal TestRing(int capacity)
    {
        _capacity = capacity;
        nuint bytes = (nuint)LinkLayout.RingBytes(capacity);
        _memory = (byte*)NativeMemory.AlignedAlloc(bytes, 64);
        NativeMemory.Clear(_memory, bytes);
    }

    internal ref ulong Head => ref *(ulong*)(_memory + LinkLayout.HeadOffset);

    internal ref ulong Tail => ref *(ulong*)(_memory + LinkLayout.TailOffset);

    internal RingProducer Producer() => new(_memory, _capacity);

    internal RingConsumer Consumer() => new(_memory, _capacity);

    internal ref ulong Entry(int index) => ref ((ulong*)(_memory + LinkLayout.EntriesOffset))[index];

    public void Dispose() => NativeMemory.AlignedFree(_memory);
}
