using System.Buffers.Binary;
using Archipelago.Runtime;
using Archipelago.Xseg.Layout;

namespace Archipelago.Maps;

/// <summary>
/// The objects of which a new volume is to be made, as a CREATE with the flag LIST brings them in its data: u64 size of the volume in bytes (0: that of all objects), u32 object
/// size (0: the configured one), u32 0, then per object in the volume's order {u16 length, name}; length 0 is a hole.
/// </summary>
public sealed class SourceList
{
    /// <summary>Bytes before the first name.</summary>
    public const int HeaderBytes = 16;
    /// <summary>Longest name of an object, bytes.</summary>
    public const int MaxNameBytes = RequestSlot.MaxTarget;

    /// <summary>Size of the volume in bytes; 0 for that of all objects.</summary>
    public ulong Size { get; init; }
    /// <summary>Bytes of an object; 0 for the configured size.</summary>
    public int ObjectSize { get; init; }
    /// <summary>Names in the volume's order, 1 to 256 bytes of any kind; empty for a hole.</summary>
    public required IReadOnlyList<ReadOnlyMemory<byte>> Names { get; init; }

    /// <summary>Takes the data of a request apart. The bytes may be anything.</summary>
    /// <exception cref="ErrnoException">EINVAL: it is no such list.</exception>
    public static SourceList Parse(ReadOnlyMemory<byte> data)
    {
        var bytes = data.Span;
        if (bytes.Length < HeaderBytes || BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]) != 0) throw Malformed("does not begin with a header of 16 bytes");
        var names = new List<ReadOnlyMemory<byte>>();
        for (int at = HeaderBytes; at < bytes.Length;)
        {
            int length = at + 2 <= bytes.Length ? BinaryPrimitives.ReadUInt16LittleEndian(bytes[at..]) : int.MaxValue;
            if (length > bytes.Length - at - 2) throw Malformed($"ends within name {names.Count + 1}");
            names.Add(data.Slice(at + 2, length));
            at += 2 + length;
        }

        return new SourceList { Size = BinaryPrimitives.ReadUInt64LittleEndian(bytes), ObjectSize = (int)Math.Min(BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]), int.MaxValue), Names = names };
    }

    /// <summary>The data of a request; at most 4 MiB can be sent.</summary>
    /// <exception cref="ErrnoException">EINVAL: a name is longer than 65,535 bytes.</exception>
    public byte[] ToBytes()
    {
        var bytes = new byte[HeaderBytes + Names.Sum(name => 2 + name.Length)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, Size);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), (uint)ObjectSize);
        int at = HeaderBytes;
        foreach (var name in Names)
        {
            if (name.Length > ushort.MaxValue) throw new ErrnoException(Errno.EINVAL, $"a name of {name.Length} bytes: expected at most {MaxNameBytes}");
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(at), (ushort)name.Length);
            name.Span.CopyTo(bytes.AsSpan(at + 2));
            at += 2 + name.Length;
        }

        return bytes;
    }

    private static ErrnoException Malformed(string what) => new(Errno.EINVAL, $"the list of objects {what}; see peers/mapperd/README.md");
}
