using System.Numerics;
using System.Security.Cryptography;

namespace Archipelago.Mapperd.Inspection;

/// <summary>
/// The root of a Merkle tree of SHA-256 over the digests of a version's objects, padded with digests of 32 zero bytes to a power of two. The digests come in blocks, so that
/// a volume of any size takes 32 bytes of memory per 4,096 objects and not per object.
/// </summary>
internal sealed class MerkleTree
{
    internal const int DigestBytes = SHA256.HashSizeInBytes;
    private const int MostLeaves = 4096;

    private readonly byte[] _leaves;
    private readonly byte[] _roots;

    /// <param name="objects">Leaves; at least 1.</param>
    internal MerkleTree(ulong objects)
    {
        ulong padded = BitOperations.RoundUpToPowerOf2(objects);
        BlockLeaves = (int)Math.Min(padded, MostLeaves);
        Blocks = (int)((objects + (ulong)BlockLeaves - 1) / (ulong)BlockLeaves);
        _leaves = new byte[BlockLeaves * DigestBytes];
        _roots = new byte[(int)(padded / (ulong)BlockLeaves) * DigestBytes];
        // Of blocks that are padding altogether.
        Reduce(_leaves);
        for (int block = Blocks; block < _roots.Length / DigestBytes; block++) _leaves.AsSpan(0, DigestBytes).CopyTo(_roots.AsSpan(block * DigestBytes));
    }

    /// <summary>Leaves of a block: a power of two.</summary>
    internal int BlockLeaves { get; }
    /// <summary>Blocks that hold leaves.</summary>
    internal int Blocks { get; }

    /// <summary>The leaves of the next block, all zeros, to be filled.</summary>
    internal Memory<byte> Begin()
    {
        _leaves.AsSpan().Clear();
        return _leaves;
    }

    /// <summary>All leaves of a block are there.</summary>
    internal void End(int block)
    {
        Reduce(_leaves);
        _leaves.AsSpan(0, DigestBytes).CopyTo(_roots.AsSpan(block * DigestBytes));
    }

    /// <summary>The root, once all blocks have ended. Spends the tree.</summary>
    internal byte[] Root()
    {
        Reduce(_roots);
        return _roots[..DigestBytes];
    }

    /// <summary>Makes the first digest the root over all.</summary>
    private static void Reduce(Span<byte> digests)
    {
        for (int count = digests.Length / DigestBytes; count > 1; count /= 2)
            for (int i = 0; i < count / 2; i++) SHA256.HashData(digests.Slice(i * 2 * DigestBytes, 2 * DigestBytes), digests.Slice(i * DigestBytes, DigestBytes));
    }
}
