using System.Runtime.CompilerServices;

namespace Archipelago.Radosd.Librados;

/// <summary>
/// A name on the stack, NUL-terminated as C wants it, without an allocation. Names come from outside: an empty one,
/// one with a NUL inside (C would cut it, and so name another object) and one too long are refused.
/// </summary>
internal unsafe struct NulTerminated
{
    /// <summary>The longest name in bytes that is passed to RADOS. A store may allow less (then ENAMETOOLONG).</summary>
    internal const int Longest = 512;

    [InlineArray(Longest + 1)]
    private struct Buffer
    {
        private byte _first;
    }

    private Buffer _buffer;

    /// <summary>Stores the name; 0, or EINVAL or ENAMETOOLONG and the value must not be used.</summary>
    internal int Set(ReadOnlySpan<byte> name)
    {
        if (name.Length > Longest)
            return RadosErrno.ENAMETOOLONG;
        if (name.IsEmpty || name.Contains((byte)0))
            return RadosErrno.EINVAL;
        Span<byte> span = _buffer;
        name.CopyTo(span);
        span[name.Length] = 0;
        return 0;
    }

    /// <summary>The address; valid while this variable is on the stack of the caller.</summary>
    internal byte* Pointer => (byte*)Unsafe.AsPointer(ref _buffer);
}
