using System.Buffers.Binary;
using System.Text;
using Archipelago.Runtime;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Locks;

/// <summary>
/// What the object of a lock holds: one record of 512 bytes, little-endian (README.md has it byte by byte). An object that is missing, or
/// all zeros there, is a lock that nobody has ever held.
/// </summary>
public sealed record LockRecord
{
    /// <summary>Bytes of a record.</summary>
    public const int Size = 512;
    /// <summary>Bytes of a cookie.</summary>
    public const int CookieSize = 64;
    /// <summary>Longest <see cref="Owner"/> in bytes; what is longer is cut.</summary>
    public const int MaxOwner = 128;
    /// <summary>Longest <see cref="Address"/> and <see cref="Fence"/> in bytes.</summary>
    public const int MaxAddress = 96;

    private const uint Version = 1;
    private const int OwnerAt = 128, AddressAt = 256, FenceAt = 352;
    private static ReadOnlySpan<byte> Magic => "XLOCKREC"u8;

    /// <summary>The lock that nobody has ever held.</summary>
    public static LockRecord Never { get; } = new();

    /// <summary>Somebody holds the lock.</summary>
    public bool Held { get; init; }
    /// <summary>Rises by one with each new holder and each break: a number of the past never comes back.</summary>
    public ulong Epoch { get; init; }
    /// <summary>Rises with each renewal: while it does, the holder lives.</summary>
    public ulong Renewals { get; init; }
    /// <summary>Nanoseconds after which a lock that is not renewed may be broken; 0: never.</summary>
    public ulong Lease { get; init; }
    /// <summary>Unix nanoseconds at which the holder took the lock: for people only.</summary>
    public long Since { get; init; }
    /// <summary>Unix nanoseconds of the last renewal: for people only.</summary>
    public long Renewed { get; init; }
    /// <summary>Who holds the lock, or held it last.</summary>
    public byte[] Cookie { get; init; } = new byte[CookieSize];
    /// <summary>The holder as people call it.</summary>
    public string Owner { get; init; } = "";
    /// <summary>The instance of a blocker that may write under the lock.</summary>
    public string Address { get; init; } = "";
    /// <summary>A former holder's address, not known to be fenced yet: until it is nobody may write under the lock. Empty: nothing to do.</summary>
    public string Fence { get; init; } = "";

    /// <summary>Whether the cookie is the one of the record.</summary>
    public bool IsOf(ReadOnlySpan<byte> cookie) => cookie.SequenceEqual(Cookie);

    /// <summary>The record as it is stored.</summary>
    public byte[] ToBytes()
    {
        byte[] bytes = new byte[Size];
        Magic.CopyTo(bytes);
        var at = bytes.AsSpan();
        BinaryPrimitives.WriteUInt32LittleEndian(at[8..], Version);
        BinaryPrimitives.WriteUInt32LittleEndian(at[12..], Held ? 1u : 0);
        BinaryPrimitives.WriteUInt64LittleEndian(at[16..], Epoch);
        BinaryPrimitives.WriteUInt64LittleEndian(at[24..], Renewals);
        BinaryPrimitives.WriteUInt64LittleEndian(at[32..], Lease);
        BinaryPrimitives.WriteInt64LittleEndian(at[40..], Since);
        BinaryPrimitives.WriteInt64LittleEndian(at[48..], Renewed);
        Cookie.CopyTo(at[64..]);
        WriteText(at, 56, OwnerAt, MaxOwner, Owner);
        WriteText(at, 58, AddressAt, MaxAddress, Address);
        WriteText(at, 60, FenceAt, MaxAddress, Fence);
        Crc32C.Seal(at);
        return bytes;
    }

    /// <summary>Reads <see cref="Size"/> bytes; null and what is wrong with them, in words, if they are no record that this build knows.</summary>
    public static LockRecord? Parse(ReadOnlySpan<byte> bytes, out string wrong)
    {
        wrong = "";
        if (bytes.Length == Size && !bytes.ContainsAnyExcept((byte)0)) return Never;
        if (bytes.Length != Size || !bytes.StartsWith(Magic)) wrong = "it does not begin as one";
        else if (!Crc32C.IsSealed(bytes)) wrong = "its checksum does not match";
        else if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) is var version && version != Version) wrong = $"its version is {version}, this build knows {Version}";
        else if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]) > 1) wrong = "its state makes no sense";
        else if (BinaryPrimitives.ReadUInt16LittleEndian(bytes[56..]) > MaxOwner || BinaryPrimitives.ReadUInt16LittleEndian(bytes[58..]) > MaxAddress
            || BinaryPrimitives.ReadUInt16LittleEndian(bytes[60..]) > MaxAddress) wrong = "a length in it is larger than its field";
        if (wrong.Length > 0) return null;
        return new LockRecord
        {
            Held = BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]) == 1,
            Epoch = BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]),
            Renewals = BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..]),
            Lease = BinaryPrimitives.ReadUInt64LittleEndian(bytes[32..]),
            Since = BinaryPrimitives.ReadInt64LittleEndian(bytes[40..]),
            Renewed = BinaryPrimitives.ReadInt64LittleEndian(bytes[48..]),
            Cookie = bytes.Slice(64, CookieSize).ToArray(),
            Owner = ReadText(bytes, 56, OwnerAt, MaxOwner),
            Address = ReadText(bytes, 58, AddressAt, MaxAddress),
            Fence = ReadText(bytes, 60, FenceAt, MaxAddress),
        };
    }

    /// <summary>Text of at most so many bytes, cut between characters, that a log and a terminal can show: an issuer may send anything.</summary>
    public static string Printable(ReadOnlySpan<byte> utf8, int most)
    {
        var text = new StringBuilder();
        foreach (var rune in Encoding.UTF8.GetString(utf8).EnumerateRunes())
        {
            var shown = Rune.IsControl(rune) ? new Rune('?') : rune;
            most -= shown.Utf8SequenceLength;
            if (most < 0) break;
            text.Append(shown.ToString());
        }

        return text.ToString();
    }

    private static void WriteText(Span<byte> bytes, int lengthAt, int at, int most, string text)
    {
        int length = Encoding.UTF8.GetByteCount(text);
        if (length > most) throw new ErrnoException(Errno.ENAMETOOLONG, $"\"{text}\" has {length} bytes; a lock's record takes {most}");
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[lengthAt..], (ushort)length);
        Encoding.UTF8.GetBytes(text, bytes[at..]);
    }

    /// <summary>Whatever the bytes are, the text fits its field again.</summary>
    private static string ReadText(ReadOnlySpan<byte> bytes, int lengthAt, int at, int most) =>
        Printable(bytes.Slice(at, BinaryPrimitives.ReadUInt16LittleEndian(bytes[lengthAt..])), most);
}
