using Archipelago.Xseg;

namespace Archipelago.Bench;

/// <summary>What the blocks lie in: objects with their names and hashes made in advance, or one volume.</summary>
internal sealed class Targets
{
    private readonly byte[] _names;
    private readonly int _nameLength;
    private readonly Hash128[] _hashes;

    private Targets(byte[] names, int nameLength, Hash128[] hashes, long bytesPerTarget, int blockSize, uint flow)
    {
        (_names, _nameLength, _hashes, Flow) = (names, nameLength, hashes, flow);
        BlocksPerTarget = bytesPerTarget / blockSize;
        Blocks = BlocksPerTarget * hashes.Length;
    }

    /// <summary>Blocks in all.</summary>
    internal long Blocks { get; }
    /// <summary>Blocks of one object.</summary>
    internal long BlocksPerTarget { get; }
    /// <summary>Flow of the requests.</summary>
    internal uint Flow { get; }

    /// <summary>Objects, or the one volume.</summary>
    internal int Count => _hashes.Length;

    internal static Targets OfObjects(BenchOptions options, uint flow)
    {
        int length = System.Text.Encoding.UTF8.GetByteCount(options.Prefix) + 8;
        byte[] names = new byte[length * options.Objects];
        var hashes = new Hash128[options.Objects];
        for (int i = 0; i < options.Objects; i++)
        {
            var name = names.AsSpan(i * length, length);
            System.Text.Encoding.UTF8.GetBytes(options.Prefix, name);
            i.TryFormat(name[^8..], out _, "d8", System.Globalization.CultureInfo.InvariantCulture);
            hashes[i] = Hash128.Of(name);
        }

        return new Targets(names, length, hashes, options.ObjectSize, options.BlockSize, flow);
    }

    internal static Targets OfVolume(BenchOptions options, long size, uint flow)
    {
        byte[] name = System.Text.Encoding.UTF8.GetBytes(options.Volume);
        long bytes = options.ObjectSize == 0 ? size : options.ObjectSize;
        return new Targets(name, name.Length, [Hash128.Of(name)], bytes, options.BlockSize, flow);
    }

    internal ReadOnlySpan<byte> Name(long target) => _names.AsSpan((int)target * _nameLength, _nameLength);

    internal Hash128 Hash(long target) => _hashes[target];
}
