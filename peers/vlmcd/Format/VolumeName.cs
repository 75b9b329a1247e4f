using System.Buffers;
using System.Text;
using Archipelago.Runtime;

namespace Archipelago.Vlmcd.Format;

/// <summary>Names of volumes, and of the objects that follow from them.</summary>
public static class VolumeName
{
    /// <summary>Longest name in bytes.</summary>
    public const int MaxLength = 89;
    /// <summary>What a name must be, for messages.</summary>
    public const string Expected = "1 to 89 of the characters A-Z a-z 0-9 . _ - and not starting with a dot";

    private static readonly SearchValues<byte> Allowed = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"u8);

    /// <summary>True if the bytes are a volume's name.</summary>
    public static bool IsValid(ReadOnlySpan<byte> name) =>
        name.Length is > 0 and <= MaxLength && name[0] != (byte)'.' && !name.ContainsAnyExcept(Allowed);

    /// <summary>The name as text.</summary>
    /// <exception cref="ErrnoException">EINVAL if it is none.</exception>
    public static string Check(ReadOnlySpan<byte> name) => IsValid(name)
        ? Encoding.ASCII.GetString(name)
        : throw new ErrnoException(Errno.EINVAL, $"volume name \"{Encoding.UTF8.GetString(name[..Math.Min(name.Length, 100)])}\": expected {Expected}");

    /// <summary>The header object of a volume.</summary>
    public static byte[] HeaderObject(string volume) => Encoding.ASCII.GetBytes("v." + volume);
}
