using System.Buffers.Binary;

namespace Archipelago.Nbd.Protocol;

/// <summary>Reads the fields of an option's data. Every length is checked against what is there; a failure sticks.</summary>
internal ref struct OptionReader(ReadOnlySpan<byte> data)
{
    private ReadOnlySpan<byte> _rest = data;

    /// <summary>False once something did not fit.</summary>
    internal bool IsSound { get; private set; } = true;

    /// <summary>True if everything fitted and nothing is left.</summary>
    internal readonly bool IsAtEnd => IsSound && _rest.IsEmpty;

    internal ushort UInt16()
    {
        var bytes = Take(2);
        return bytes.Length == 2 ? BinaryPrimitives.ReadUInt16BigEndian(bytes) : (ushort)0;
    }

    internal uint UInt32()
    {
        var bytes = Take(4);
        return bytes.Length == 4 ? BinaryPrimitives.ReadUInt32BigEndian(bytes) : 0;
    }

    /// <summary>A string with its length in 32 bits before it.</summary>
    internal ReadOnlySpan<byte> String() => Take(UInt32());

    private ReadOnlySpan<byte> Take(uint length)
    {
        if (!IsSound || length > (uint)_rest.Length)
        {
            IsSound = false;
            return default;
        }

        var taken = _rest[..(int)length];
        _rest = _rest[(int)length..];
        return taken;
    }
}
