using System.Text;
using Archipelago.Maps;

namespace Archipelago.Vlmcd.Tests;

/// <summary>What the store holds, asked of it past all other peers.</summary>
internal static class StoreList
{
    /// <summary>All objects.</summary>
    internal static async Task<string[]> AllAsync(Client client)
    {
        var io = new ObjectIo(client.Context, client.Context.OpenRoute("blocks"), 0);
        var names = new List<string>();
        for (ulong cursor = 0; cursor != ulong.MaxValue;)
        {
            var (status, bytes, next) = await io.ListAsync(cursor, 64 << 10);
            Assert.Equal(0, status);
            for (int at = 0; at + 2 <= bytes.Length;)
            {
                int length = BitConverter.ToUInt16(bytes, at);
                if (length == 0) break;
                names.Add(Encoding.ASCII.GetString(bytes, at + 2, length));
                at += 2 + length;
            }

            cursor = next;
        }

        return [.. names];
    }

    /// <summary>All objects but the catalogue, locks, and names that nobody has.</summary>
    internal static async Task<string[]> ObjectsAsync(Client client)
    {
        var io = new ObjectIo(client.Context, client.Context.OpenRoute("blocks"), 0);
        var found = new List<string>();
        foreach (string name in (await AllAsync(client)).Where(name => name[..2] is not ("c." or "l.")).Order(StringComparer.Ordinal))
        {
            var sector = new byte[512];
            if (name.StartsWith("n.", StringComparison.Ordinal)) Assert.Equal(0, (await io.ReadAsync(Encoding.ASCII.GetBytes(name), 0, sector)).Status);
            else sector[0] = 1;
            if (sector.AsSpan().ContainsAnyExcept((byte)0)) found.Add(name);
        }

        return [.. found];
    }
}
