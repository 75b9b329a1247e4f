using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Inspection;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>What changes nothing: versions by name, content hashes, leases.</summary>
internal sealed partial class VolumeService
{
    /// <summary>The volume, and the size of the version that the name names.</summary>
    /// <exception cref="ErrnoException">ENOENT.</exception>
    internal async Task<(VolumeRoot Root, ulong Size)> FindVersionAsync(VolumeName name)
    {
        var volume = await LookAsync(name.Volume);
        return (volume.Root!, SizeOf(volume, SnapshotOf(volume, name)));
    }

    /// <summary>The map of a version as it is now.</summary>
    internal async Task<VersionMap> MapOfAsync(VolumeName name) => (await LookAtAsync(name)).Map;

    /// <summary>The flow of those who only read a version. Of a head, which another host may be writing to, nothing is cached under it.</summary>
    internal async ValueTask<uint> ReadOnlyFlowAsync(VolumeName name, int user)
    {
        uint flow = await Flows.FindOrAddAsync(name.Snapshot == null ? name + "@" : name.ToString(), user);
        if (name.Snapshot == null) VolumeLocks.SetUncached(_context.Segment, flow, 1);
        return flow;
    }

    /// <summary>
    /// Address of a version's content: the root of the Merkle tree over the SHA-256 of its objects (each without trailing zeros), padded with digests of zeros to
    /// a power of two. Equal content in objects of one size has one hash, whatever the maps.
    /// </summary>
    internal async Task<byte[]> HashAsync(VolumeName name, Func<ulong, ulong, ValueTask>? tell = null, CancellationToken cancel = default)
    {
        var (volume, snapshot, map) = await LookAtAsync(name);
        ulong size = SizeOf(volume, snapshot);
        if (volume.IsOpen && snapshot == null && await _data.FlushAsync(volume.Flow) is var flushed and not 0)
            throw new ErrnoException(flushed, $"volume {name}: the flush failed: {Errno.Describe(flushed)}");
        ulong objects = MapGeometry.ObjectsFor(size, volume.Root!.ObjectSize);
        var tree = new MerkleTree(objects);
        for (int block = 0; block < tree.Blocks; block++)
        {
            await HashBlockAsync(tree.Begin(), (ulong)block * (ulong)tree.BlockLeaves);
            tree.End(block);
        }

        await CheckStillThereAsync();
        return tree.Root();

        // Had another host deleted the version meanwhile, objects that were missing would be neither holes nor lost.
        async ValueTask CheckStillThereAsync()
        {
            if (snapshot != null && (await LookAtAsync(name)) is var (again, still, _) && (again.Root!.Id != volume.Root.Id || still!.Number != snapshot.Number))
                throw NoSnapshot(name);
        }

        async Task HashBlockAsync(Memory<byte> leaves, ulong first)
        {
            int count = (int)Math.Min((ulong)tree.BlockLeaves, objects - first), next = 0;
            ErrnoException? fault = null;
            await Task.WhenAll(Enumerable.Range(0, _options.FanOut).Select(_ => WorkAsync()));
            if (fault != null) await CheckStillThereAsync();
            if (fault != null) throw fault;

            async Task WorkAsync()
            {
                while (fault == null && next < count)
                {
                    // Whoever stops mapperd does not wait for all of it.
                    if (IsStopping || cancel.IsCancellationRequested)
                    {
                        fault ??= Interrupted(name);
                        return;
                    }

                    int at = next++;
                    ulong index = first + (ulong)at;
                    if (tell != null) await tell(index, objects);
                    var (status, result) = await HashObjectAsync(map, volume.Flow, index);
                    if (status == Errno.ENOENT) fault ??= new ErrnoException(Errno.EIO, $"volume {name}: object {index} must exist by the map, and is missing; `archipelago volume fsck {name.Volume} --objects` names all that are");
                    else if (status != 0) fault ??= new ErrnoException(status, $"volume {name}: object {index} cannot be hashed: {Errno.Describe(status)}; `archipelago volume map {name}` shows what of its map is damaged");
                    else result.CopyTo(leaves[(at * MerkleTree.DigestBytes)..]);
                }
            }
        }
    }

    /// <summary>The digest of an object as a version's map has it. ENOENT: it must exist, and is lost.</summary>
    private async ValueTask<(int Status, byte[] Digest)> HashObjectAsync(VersionMap map, uint flow, ulong index)
    {
        while (true)
        {
            var entry = await map.FindAsync(index);
            if (entry.IsDamaged) return (Errno.EIO, []);
            var digest = new byte[MerkleTree.DigestBytes];
            var (status, _) = await _data.RunAsync(
                XsegOp.Hash, flow == 0 ? _data.Flow : flow, LayerName.Data(entry.Layer, index), flags: entry.IsPresent ? RequestFlags.MustExist : RequestFlags.None, result: digest);
            // Discarded, or moved to another layer, since it was looked up: then the map says so.
            if (status == Errno.ENOENT && await map.FindAsync(index) != entry) continue;
            return (status, digest);
        }
    }

    /// <summary>Opens a volume that another host has, to take it over later.</summary>
    internal async Task<uint> StandByAsync(string name, int user)
    {
        var volume = await Table.EnterAsync(name);
        try
        {
            return await _locks.StandByAsync(volume, user);
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Another host has the lock: nothing of the volume can be written from here any more.</summary>
    private async Task LoseAsync(string name)
    {
        var volume = await Table.EnterAsync(name);
        try
        {
            await LoseIfBrokenAsync(volume);
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    private async ValueTask LoseIfBrokenAsync(Volume volume)
    {
        if (!volume.IsLocked || await _locks.RenewAsync(volume, volume.LockedId) != Errno.EBUSY) return;
        TellLoss(volume.Name);
        await _locks.LoseAsync(volume.Name, volume.Flow);
        volume.IsOpen = false;
        ForgetLock(volume);
    }

    private void TellLoss(string name) =>
        _context.Log.LogError("volume {Volume}: another host has taken it over. What was written here and not flushed is lost, and whatever is written to it here fails with ESTALE; close it", name);

    private void TellRenewal(string name, int status)
    {
        if (status != 0) _context.Log.LogWarning("volume {Volume}: its lease cannot be renewed: {Error}", name, Errno.Describe(status));
    }

    /// <summary>Says for all volumes that are open here that this host lives.</summary>
    internal async Task RenewAsync()
    {
        foreach (var volume in Table.All.Where(volume => volume.IsLocked).ToArray())
        {
            // An earlier one may have taken its time.
            if (!volume.IsLocked) continue;
            int status = await _locks.RenewAsync(volume, volume.LockedId);
            if (status == Errno.EBUSY) await LoseAsync(volume.Name);
            else TellRenewal(volume.Name, status);
        }

        await _locks.RenewHoldsAsync();
        // Users of a predecessor that need nothing of the map may ask for nothing for a long time.
        foreach (var (name, flow, id) in _locks.AllMarkedOpen())
        {
            if (Table.Find(name) is { IsLocked: true }) continue;
            int status = await _locks.RenewAsync(name, flow, id);
            if (status == Errno.EBUSY) TellLoss(name);
            else TellRenewal(name, status);
        }
    }
}
