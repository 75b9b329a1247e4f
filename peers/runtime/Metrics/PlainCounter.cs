using System.Runtime.InteropServices;

namespace Archipelago.Runtime.Metrics;

/// <summary>
/// A count that one thread owns and increments with a plain store, and any thread may read. On cache lines of its own, so that a
/// reader or a neighbour does not slow the owner down. Wraps nowhere: 2^63 at 10 M/s is 29,000 years.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
public sealed class PlainCounter
{
    [FieldOffset(128)]
    private long _value;

    /// <summary>The value. Any thread.</summary>
    public long Value => Volatile.Read(ref _value);

    /// <summary>Adds. The owning thread only.</summary>
    public void Add(long amount) => Volatile.Write(ref _value, _value + amount);

    /// <summary>Adds one. The owning thread only.</summary>
    public void Increment() => Volatile.Write(ref _value, _value + 1);
}
