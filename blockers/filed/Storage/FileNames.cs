using System.Text;
using Archipelago.Xseg.Layout;

namespace Archipelago.Filed.Storage;

/// <summary>
/// Object names, any bytes, as relative paths, and back. Letters, digits, <c>_</c>, <c>-</c> and <c>.</c> (not in front) stay, every
/// other byte becomes <c>%XX</c>. What is longer than <see cref="MaxPart"/> bytes then is cut into parts: all but the last are
/// directories whose names end with <c>+</c>, which no file name can contain. One name, one path; no hash can collide.
/// </summary>
internal static class FileNames
{
    /// <summary>Most bytes in a part: below the 255 of all file systems.</summary>
    internal const int MaxPart = 240;

    internal static string Encode(ReadOnlySpan<byte> name)
    {
        const string Hex = "0123456789ABCDEF";
        var path = new StringBuilder(name.Length + 8);
        int part = 0;
        for (int i = 0; i < name.Length; i++)
        {
            byte b = name[i];
            bool plain = char.IsAsciiLetterOrDigit((char)b) || b is (byte)'_' or (byte)'-' || (b == '.' && i > 0);
            if (part + (plain ? 1 : 3) > MaxPart)
            {
                path.Append("+/");
                part = 0;
                // A part must not begin with a dot either.
                plain &= b != '.';
            }

            if (plain) path.Append((char)b);
            else path.Append('%').Append(Hex[b >> 4]).Append(Hex[b & 15]);
            part += plain ? 1 : 3;
        }

        return path.ToString();
    }

    /// <summary>The name of a path that <see cref="Encode"/> made; false for anything else.</summary>
    internal static bool TryDecode(string path, out byte[] name)
    {
        name = [];
        string flat = path.Replace("+/", "");
        var bytes = new List<byte>(flat.Length);
        for (int i = 0; i < flat.Length; i++)
        {
            if (flat[i] != '%')
            {
                bytes.Add((byte)flat[i]);
                continue;
            }

            if (i + 2 >= flat.Length || !byte.TryParse(flat.AsSpan(i + 1, 2), System.Globalization.NumberStyles.AllowHexSpecifier, null, out byte b)) return false;
            bytes.Add(b);
            i += 2;
        }

        if (bytes.Count is 0 or > RequestSlot.MaxTarget) return false;
        name = [.. bytes];
        // Other spellings of a name are not ours.
        return Encode(name) == path;
    }
}
