using System.Numerics;
using System.Security.Cryptography;
using Archipelago.Mapperd.Inspection;

namespace Archipelago.Mapperd.Tests;

public class MerkleTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(1000)]
    [InlineData(4096)]
    [InlineData(4097)]
    [InlineData(8193)]
    [InlineData(20000)]
    public void The_root_of_blocks_is_the_root_of_all_digests_at_once(int objects)
    {
        var all = new byte[(int)BitOperations.RoundUpToPowerOf2((uint)objects)][];
        for (int i = 0; i < all.Length; i++) all[i] = i < objects ? SHA256.HashData(BitConverter.GetBytes(i)) : new byte[32];

        var tree = new MerkleTree((ulong)objects);
        for (int block = 0; block < tree.Blocks; block++)
        {
            var leaves = tree.Begin();
            for (int i = 0; i < tree.BlockLeaves && block * tree.BlockLeaves + i < objects; i++) all[block * tree.BlockLeaves + i].CopyTo(leaves[(i * 32)..]);
            tree.End(block);
        }

        Assert.Equal(Plain(all), tree.Root());
    }

    private static byte[] Plain(ReadOnlySpan<byte[]> digests) => digests.Length == 1
        ? digests[0]
        : SHA256.HashData([.. Plain(digests[..(digests.Length / 2)]), .. Plain(digests[(digests.Length / 2)..])]);
}
