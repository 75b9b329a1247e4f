using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Maps;

/// <summary>The map of a volume without ancestors: the name of each object follows from the volume's id and the index.</summary>
internal sealed class DirectMap(ulong volumeId) : IObjectMap
{
    private const int ChunkShift = 8;

    private ObjectName _name = new(volumeId);
    private Hash128[]?[] _hashes = new Hash128[]?[16];

    public bool TryFind(ulong index, ObjectAccess access, out ObjectTarget target)
    {
        var name = _name.Of(index);
        target = new ObjectTarget { Name = name, Hash = HashOf(index, name), MayDelete = true };
        return true;
    }

    public ValueTask<int> PrepareAsync(ulong index, ObjectAccess access, Request parent) => new(0);

    /// <summary>16 bytes per object that was ever used: 4 MiB for 1 TiB.</summary>
    private Hash128 HashOf(ulong index, ReadOnlySpan<byte> name)
    {
        ulong chunk = index >> ChunkShift;
        if (chunk >= (ulong)_hashes.Length || _hashes[chunk] is not { } hashes) return Fill(index, name);
        ref var hash = ref hashes[(int)index & ((1 << ChunkShift) - 1)];
        if (hash == default) hash = Hash128.Of(name);
        return hash;
    }

    private Hash128 Fill(ulong index, ReadOnlySpan<byte> name)
    {
        ulong chunk = index >> ChunkShift;
        var hash = Hash128.Of(name);
        // Far out in a huge thin volume the table itself would be the cost; hashing is 15 ns.
        if (chunk >= 1 << 20) return hash;
        if (chunk >= (ulong)_hashes.Length) Array.Resize(ref _hashes, (int)Math.Max(chunk + 1, (ulong)_hashes.Length * 2));
        (_hashes[chunk] = new Hash128[1 << ChunkShift])[(int)index & ((1 << ChunkShift) - 1)] = hash;
        return hash;
    }
}
