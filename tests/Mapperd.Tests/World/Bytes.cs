namespace Archipelago.Mapperd.Tests;

internal static class Bytes
{
    /// <summary>Never a zero: what was lost shows.</summary>
    internal static byte[] Of(int seed, int count)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        for (int i = 0; i < count; i++) bytes[i] |= 1;
        return bytes;
    }
}
