using Archipelago.Maps;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Maps;

/// <summary>The map of a volume that never shared anything: all objects are in one layer. For measuring what <see cref="ChunkMap"/> costs.</summary>
internal sealed class DirectMap(ulong layer) : IObjectMap
{
    private const int ChunkShift = 8;

    private LayerName _name = new('o');
    private Hash128[]?[] _hashes = new Hash128[]?[16];

    public bool TryFind(ulong index, ObjectAccess access, out ObjectTarget target)
    {
        var name = _name.Of(layer, index);
        target = new ObjectTarget { Name = name, Hash = HashOf(index, name), MayDelete = true };
        return true;
    }

    public ValueTask<int> PrepareAsync(ulong index, ObjectAccess access, Request parent) => new(0);

    public void Change(ulong objects, ulong own, bool isKnown)
    {
    }

    /// <summary>16 bytes per object that was ever used: 4 MiB for 1 TiB.</summary>
    private Hash128 HashOf(ulong index, ReadOnlySpan<byte> name)
    {
        ulong chunk = index >> ChunkShift;
        if (chunk >= (ulong)_hashes.Length) Array.Resize(ref _hashes, (int)Math.Max(chunk + 1, (ulong)_hashes.Length * 2));
        var hashes = _hashes[chunk] ??= new Hash128[1 << ChunkShift];
        ref var hash = ref hashes[(int)index & ((1 << ChunkShift) - 1)];
        if (hash == default) hash = Hash128.Of(name);
        return hash;
    }
}
