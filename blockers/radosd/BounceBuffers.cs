using System.Numerics;
using System.Runtime.InteropServices;

namespace Archipelago.Radosd;

/// <summary>
/// Memory for operations whose pages do not lie in one piece, in powers of two from 4 KiB to 4 MiB: reused, freed when more
/// than <paramref name="keep"/> bytes lie idle. What is in use is bounded by the bytes in flight. One reactor.
/// </summary>
internal sealed unsafe class BounceBuffers(long keep) : IDisposable
{
    private const int SmallestLog = 12, LargestLog = 22;
    private readonly Stack<nint>[] _idle = [.. Enumerable.Range(0, LargestLog - SmallestLog + 1).Select(_ => new Stack<nint>())];
    private long _idleBytes;

    /// <summary>A buffer of at least <paramref name="length"/> bytes (up to 4 MiB); its content is undefined.</summary>
    internal byte* Rent(ulong length)
    {
        int size = Class(length);
        if (!_idle[size].TryPop(out nint buffer)) return (byte*)NativeMemory.AlignedAlloc((nuint)1 << (size + SmallestLog), 4096);
        _idleBytes -= 1L << (size + SmallestLog);
        return (byte*)buffer;
    }

    /// <summary>Takes back what was rented for <paramref name="length"/> bytes.</summary>
    internal void Return(byte* buffer, ulong length)
    {
        int size = Class(length);
        long bytes = 1L << (size + SmallestLog);
        if (_idleBytes + bytes > keep)
        {
            NativeMemory.AlignedFree(buffer);
            return;
        }

        _idleBytes += bytes;
        _idle[size].Push((nint)buffer);
    }

    /// <summary>Frees what lies idle.</summary>
    public void Dispose()
    {
        foreach (var stack in _idle)
            while (stack.TryPop(out nint buffer)) NativeMemory.AlignedFree((void*)buffer);
        _idleBytes = 0;
    }

    private static int Class(ulong length) => Math.Max(SmallestLog, length <= 1 ? 0 : BitOperations.Log2(length - 1) + 1) - SmallestLog;
}
