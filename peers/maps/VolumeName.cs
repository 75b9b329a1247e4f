using System.Buffers;
using System.Text;
using Archipelago.Runtime;

namespace Archipelago.Maps;

/// <summary>Names of volumes and snapshots: <c>volume</c>, <c>volume@snapshot</c>.</summary>
/// <param name="Volume">The volume.</param>
/// <param name="Snapshot">The snapshot, or null for the volume itself.</param>
public readonly record struct VolumeName(string Volume, string? Snapshot)
{
    /// <summary>Longest name of a volume, and of a snapshot, in bytes.</summary>
    public const int MaxLength = 89;
    /// <summary>What a name must be, for messages.</summary>
    public const string Expected = "1 to 89 of the characters A-Z a-z 0-9 . _ - and not starting with a dot";
    /// <summary>What the name of a volume or a snapshot must be, for messages.</summary>
    public const string ExpectedEither = $"VOLUME or VOLUME@SNAPSHOT, each {Expected}";

    private static readonly SearchValues<byte> Allowed = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"u8);

    /// <inheritdoc/>
    public override string ToString() => Snapshot == null ? Volume : Volume + "@" + Snapshot;

    /// <summary>True if the bytes are the name of a volume, or of a snapshot within one.</summary>
    public static bool IsValid(ReadOnlySpan<byte> name) =>
        name.Length is > 0 and <= MaxLength && name[0] != (byte)'.' && !name.ContainsAnyExcept(Allowed);

    /// <summary>The name of a volume, or of a snapshot within one, as text.</summary>
    /// <exception cref="ErrnoException">EINVAL if it is none.</exception>
    public static string Check(ReadOnlySpan<byte> name) => IsValid(name)
        ? Encoding.ASCII.GetString(name)
        : throw new ErrnoException(Errno.EINVAL, $"volume name \"{Printable(name)}\": expected {Expected}");

    /// <summary>The name of a volume or a snapshot.</summary>
    /// <exception cref="ErrnoException">EINVAL if it is none.</exception>
    public static VolumeName Parse(ReadOnlySpan<byte> name)
    {
        int at = name.IndexOf((byte)'@');
        var volume = at < 0 ? name : name[..at];
        if (!IsValid(volume) || (at >= 0 && !IsValid(name[(at + 1)..])))
            throw new ErrnoException(Errno.EINVAL, $"volume name \"{Printable(name)}\": expected {(at < 0 ? Expected : ExpectedEither)}");
        return new VolumeName(Encoding.ASCII.GetString(volume), at < 0 ? null : Encoding.ASCII.GetString(name[(at + 1)..]));
    }

    /// <summary>As <see cref="Parse(ReadOnlySpan{byte})"/>.</summary>
    public static VolumeName Parse(string name) => Parse(Encoding.UTF8.GetBytes(name));

    /// <summary>The object of a volume's name.</summary>
    public static byte[] ObjectOf(string volume) => Encoding.ASCII.GetBytes("n." + volume);

    private static string Printable(ReadOnlySpan<byte> name) => Encoding.UTF8.GetString(name[..Math.Min(name.Length, 100)]);
}
