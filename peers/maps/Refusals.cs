using System.Globalization;
using System.Text;

namespace Archipelago.Maps;

/// <summary>
/// Why requests were refused, in words, by the identity that their issuer gave them: a request's answer has room for an errno only. The last few are kept; a
/// READ of <c>?</c> and 32 hex digits asks for one. One reactor.
/// </summary>
public sealed class Refusals
{
    private const int Most = 64;

    private readonly Queue<UInt128> _order = new();
    private readonly Dictionary<UInt128, byte[]> _texts = [];

    /// <summary>The last one.</summary>
    public string Last { get; private set; } = "";

    /// <summary>Remembers a text; nothing if the issuer gave no identity.</summary>
    public void Keep(UInt128 identity, string text)
    {
        Last = text;
        if (identity == 0 || !_texts.TryAdd(identity, Encoding.UTF8.GetBytes(text))) return;
        _order.Enqueue(identity);
        if (_order.Count > Most) _texts.Remove(_order.Dequeue());
    }

    /// <summary>The text, empty if there is none.</summary>
    public byte[] Find(UInt128 identity) => _texts.GetValueOrDefault(identity, []);

    /// <summary>The target with which the text of <paramref name="identity"/> is asked for.</summary>
    public static byte[] TargetOf(UInt128 identity) => Encoding.ASCII.GetBytes($"?{identity:x32}");

    /// <summary>True if <paramref name="target"/> asks for a text.</summary>
    public static bool TryParse(ReadOnlySpan<byte> target, out UInt128 identity)
    {
        identity = 0;
        return target.Length == 33 && target[0] == (byte)'?' && UInt128.TryParse(target[1..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out identity);
    }
}
