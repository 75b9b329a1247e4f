using System.Text;
using Archipelago.Maps;

namespace Archipelago.Nbd.Core;

/// <summary>
/// What a client names: <c>volume</c>; <c>volume@snapshot</c>; <c>volume@</c>, which is the volume as it is now, only for reading, whoever writes to it.
/// </summary>
/// <param name="Text">As the client wrote it.</param>
/// <param name="Target">The volume or snapshot.</param>
/// <param name="IsReadOnly">It asks for no more than reading.</param>
internal readonly record struct ExportName(string Text, byte[] Target, bool IsReadOnly)
{
    /// <summary>False if no volume or snapshot may have this name: none is even asked for.</summary>
    internal static bool TryParse(ReadOnlySpan<byte> name, out ExportName parsed)
    {
        parsed = default;
        int at = name.IndexOf((byte)'@');
        var volume = at < 0 ? name : name[..at];
        var snapshot = at < 0 ? default : name[(at + 1)..];
        if (!VolumeName.IsValid(volume) || (snapshot.Length > 0 && !VolumeName.IsValid(snapshot))) return false;
        parsed = new ExportName(Encoding.ASCII.GetString(name), (snapshot.Length > 0 ? name : volume).ToArray(), at >= 0);
        return true;
    }
}
