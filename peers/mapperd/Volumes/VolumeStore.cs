using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>Reads volumes from the store, and commits their roots. Failures are <see cref="ErrnoException"/>s.</summary>
internal sealed class VolumeStore(PeerContext context, ObjectIo meta, ChunkStore chunks)
{
    private const int ReadBytes = 64 << 10;

    internal ChunkStore Chunks => chunks;
    internal ObjectIo Meta => meta;
    internal Runtime.Scheduling.IReactor Reactor => context.Reactor;

    /// <summary>Which volume has the name, 0 for none. A name whose volume says otherwise, left by a change that was cut off, is none.</summary>
    internal async ValueTask<ulong> ResolveAsync(string name)
    {
        ulong id = NameRecord.Read(await ReadSectorAsync(VolumeName.ObjectOf(name), $"volume {name}"), name);
        return id != 0 && await ReadRootAsync(id) is { IsDeleted: false } root && root.Name == name ? id : 0;
    }

    /// <summary>The root of a volume, or null if there is no such object.</summary>
    internal async ValueTask<VolumeRoot?> ReadRootAsync(ulong id)
    {
        var sector = await ReadSectorAsync(VolumeRoot.ObjectOf(id), $"volume {id:x16}");
        return Sector.IsZero(sector) ? null : VolumeRoot.Read(sector, id);
    }

    /// <summary>Loads the volume of the name as the store holds it now.</summary>
    /// <exception cref="ErrnoException">ENOENT; EIO, EPROTO: damaged.</exception>
    internal async ValueTask LoadAsync(Volume volume)
    {
        ulong id = NameRecord.Read(await ReadSectorAsync(VolumeName.ObjectOf(volume.Name), $"volume {volume.Name}"), volume.Name);
        bool exists;
        try
        {
            exists = id != 0 && await TryLoadAsync(volume, id) && !volume.Root!.IsDeleted && volume.Root.Name == volume.Name;
        }
        catch (ErrnoException damaged) when (damaged.Errno is Errno.EIO or Errno.EPROTO)
        {
            // The header does not tell any more whose it is.
            throw new ErrnoException(damaged.Errno, $"{volume.Name}: {damaged.Message}", damaged);
        }

        if (exists) return;
        Unload(volume);
        throw NoVolume(volume.Name);
    }

    internal static ErrnoException NoVolume(string name) => new(Errno.ENOENT, $"there is no volume {name}; `archipelago volume list` shows what there is");

    /// <summary>
    /// Loads a volume by its id, whatever its state; false if it has no root. Without the lock another host may change it meanwhile: root, records of snapshots and directory are of one time,
    /// as the root was the same before and after.
    /// </summary>
    internal async ValueTask<bool> TryLoadAsync(Volume volume, ulong id)
    {
        while (true)
        {
            Unload(volume);
            var sector = await ReadSectorAsync(VolumeRoot.ObjectOf(id), $"volume {volume.Name}");
            if (Sector.IsZero(sector)) return false;
            var root = VolumeRoot.Read(sector, id);
            await ReadSnapshotsAsync(volume, root);
            int count = MapGeometry.ChunksFor(MapGeometry.ObjectsFor(root.Size, root.ObjectSize));
            var directory = await MapDirectory.LoadAsync(meta, id, root.Generation, count);
            if (!await IsRootAsync(id, sector, volume.Name)) continue;
            volume.Load(root, sector, new VersionMap(directory, chunks, root.Layer));
            return true;
        }
    }

    /// <summary>Whether the store holds the root with which a volume was loaded.</summary>
    internal ValueTask<bool> IsUnchangedAsync(Volume volume) => IsRootAsync(volume.Root!.Id, volume.RootSector, volume.Name);

    private async ValueTask<bool> IsRootAsync(ulong id, byte[] sector, string name) => (await ReadSectorAsync(VolumeRoot.ObjectOf(id), $"volume {name}")).AsSpan().SequenceEqual(sector);

    /// <summary>A map of which nothing can be known any more.</summary>
    internal VersionMap LostMap(ulong id, int count) => new(MapDirectory.Lost(id, count), chunks);

    /// <summary>Forgets a volume: who has its lock next may change all that is not frozen.</summary>
    internal void Unload(Volume volume)
    {
        if (volume.Root is { } root) chunks.ForgetLayer(root.Layer);
        volume.Unload();
    }

    /// <summary>The map of a snapshot.</summary>
    internal async ValueTask<VersionMap> MapOfAsync(VolumeRoot root, SnapshotRecord snapshot)
    {
        int count = MapGeometry.ChunksFor(MapGeometry.ObjectsFor(snapshot.Size, root.ObjectSize));
        return new VersionMap(await MapDirectory.LoadAsync(meta, root.Id, snapshot.Generation, count), chunks);
    }

    /// <summary>
    /// Writes the root: the commit point. If another host has written it meanwhile this one has lost the volume: ESTALE. In any failure the volume is
    /// unloaded, for the store may hold either.
    /// </summary>
    internal async ValueTask CommitAsync(Volume volume, VolumeRoot root)
    {
        root = root with { Sequence = root.Sequence + 1 };
        var sector = root.ToSector();
        int status = await meta.SwapAsync(VolumeRoot.ObjectOf(root.Id), 0, volume.RootSector, sector);
        if (status == 0)
        {
            volume.Update(root, sector);
            return;
        }

        Unload(volume);
        throw status == Errno.EILSEQ
            ? new ErrnoException(Errno.ESTALE, $"volume {volume.Name}: another host has changed it, although this one had its lock; close it here, and open it again")
            : new ErrnoException(status, $"volume {volume.Name}: its header, object v.{root.Id:x16}, cannot be written: {Errno.Describe(status)}");
    }

    /// <summary>Writes the sector of a snapshot, stable. Null frees it.</summary>
    internal async ValueTask PutSnapshotAsync(Volume volume, int slot, SnapshotRecord? record)
    {
        int status = await meta.WriteAsync(
            VolumeRoot.ObjectOf(volume.Root!.Id), (ulong)(slot + 1) * Sector.Bytes, record?.ToSector() ?? new byte[Sector.Bytes], volume.Flow);
        if (status != 0)
        {
            Unload(volume);
            throw new ErrnoException(status, $"volume {volume.Name}: the record of a snapshot cannot be written: {Errno.Describe(status)}");
        }

        while (volume.Slots.Count <= slot) volume.Slots.Add(null);
        volume.Slots[slot] = record;
    }

    /// <summary>Deletes an object of metadata, stable.</summary>
    internal async ValueTask DeleteAsync(byte[] name)
    {
        var (status, _) = await meta.RunAsync(Xseg.XsegOp.Delete, meta.Flow, name);
        if (status is 0 or Errno.ENOENT) status = await meta.FlushAsync(meta.Flow);
        if (status != 0) throw new ErrnoException(status, $"object {System.Text.Encoding.ASCII.GetString(name)} cannot be deleted: {Errno.Describe(status)}");
    }

    internal async ValueTask<byte[]> ReadSectorAsync(byte[] name, string what)
    {
        var sector = new byte[Sector.Bytes];
        var (status, _) = await meta.ReadAsync(name, 0, sector);
        return status == 0 ? sector
            : throw new ErrnoException(status, $"{what}: object {System.Text.Encoding.ASCII.GetString(name)} cannot be read: {Errno.Describe(status)}");
    }

    private async ValueTask ReadSnapshotsAsync(Volume volume, VolumeRoot root)
    {
        if (root.Slots == 0) return;
        var bytes = new byte[root.Slots * Sector.Bytes];
        int status = 0;
        // Not all at once: the peer's share of pages is small.
        for (int at = 0; status == 0 && at < bytes.Length; at += ReadBytes)
            (status, _) = await meta.ReadAsync(VolumeRoot.ObjectOf(root.Id), (ulong)(Sector.Bytes + at), bytes.AsMemory(at, Math.Min(ReadBytes, bytes.Length - at)));
        if (status != 0) throw new ErrnoException(status, $"volume {volume.Name}: the records of its snapshots cannot be read: {Errno.Describe(status)}");
        for (int slot = 0; slot < root.Slots; slot++)
        {
            var record = SnapshotRecord.Read(bytes.AsSpan(slot * Sector.Bytes, Sector.Bytes), root, out string? why);
            if (why != null)
            {
                volume.Faults[slot] = $"snapshot record {slot}, sector {slot + 1} of object v.{root.Id:x16}, {why}";
                context.Log.LogError("volume {Volume}: {Fault}; it is left alone", volume.Name, volume.Faults[slot]);
            }

            // What was never committed is a free place.
            volume.Slots.Add(record?.Number < root.NextSnapshot ? record : null);
            if (record?.Number >= root.NextSnapshot) volume.Leftovers.Add(slot);
        }
    }
}
