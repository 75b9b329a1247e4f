using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Archipelago.Locks;

/// <summary>The name of a volume's lock: <c>l.</c> and 16 hex digits of the volume's id.</summary>
public static class LockName
{
    private const int Digits = 16;

    /// <summary>The name of the lock with this id.</summary>
    public static byte[] Of(ulong id) => Encoding.ASCII.GetBytes("l." + id.ToString("x16", CultureInfo.InvariantCulture));

    /// <summary>The id in the name of a volume's lock; 0 in any other, which no flow is bound to.</summary>
    public static ulong IdOf(ReadOnlySpan<byte> name) =>
        name.Length == 2 + Digits && name.StartsWith("l."u8) && !name.ContainsAnyInRange((byte)'A', (byte)'F')
        && Utf8Parser.TryParse(name[2..], out ulong id, out int used, 'x') && used == Digits ? id : 0;
}
