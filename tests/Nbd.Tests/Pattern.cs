namespace Archipelago.Nbd.Tests;

internal static class Pattern
{
    internal static byte[] Random(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
