using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Inspection;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Volumes;

/// <summary>What people ask of maps: what they say, what differs between two, how much space they take. Long work that tells how far it is.</summary>
internal sealed partial class VolumeService
{
    private const long TellEvery = 200_000_000;

    internal async Task DumpAsync(VolumeName name, Func<MapItem, ValueTask> tell, CancellationToken cancel)
    {
        var (volume, snapshot, map) = await LookAtAsync(name);
        var dump = new MapDump(volume, snapshot, map);
        await tell(new MapItem(Map: dump.Head()));
        for (int chunk = 0; chunk < dump.Chunks; chunk++)
        {
            if (IsStopping || cancel.IsCancellationRequested) throw Interrupted(name);
            await tell(new MapItem(Chunk: await dump.ChunkAsync(chunk)));
        }
    }

    /// <exception cref="ErrnoException">EINVAL: the two cannot be compared object by object.</exception>
    internal async Task DiffAsync(VolumeName from, VolumeName to, Func<DiffItem, ValueTask> tell, CancellationToken cancel)
    {
        var (before, old, oldMap) = await LookAtAsync(from);
        var (after, young, youngMap) = await LookAtAsync(to);
        if (before.Root!.ObjectSize != after.Root!.ObjectSize)
            throw new ErrnoException(Errno.EINVAL, $"{from} has objects of {before.Root.ObjectSize} bytes and {to} of {after.Root.ObjectSize}: only versions with objects of one size can be compared");
        ulong size = SizeOf(after, young);
        var difference = new Difference(
            oldMap, MapGeometry.ObjectsFor(SizeOf(before, old), before.Root.ObjectSize), youngMap, MapGeometry.ObjectsFor(size, after.Root.ObjectSize), size,
            after.Root.ObjectSize, Sizes(cancel));
        long told = 0;
        for (int chunk = 0; chunk < difference.Chunks; chunk++)
        {
            var extents = await difference.CompareAsync(chunk);
            if (extents.Count == 0 && chunk + 1 < difference.Chunks && _context.Reactor.Now < told + TellEvery) continue;
            told = _context.Reactor.Now;
            await tell(new DiffItem((ulong)chunk + 1, (ulong)difference.Chunks, extents));
        }
    }

    internal async Task CountAsync(string name, Func<UsageItem, ValueTask> tell, CancellationToken cancel)
    {
        var volume = await LookAsync(name);
        var usage = new Usage(await VersionsAsync(volume), await BaseOfAsync(volume.Root!), Sizes(cancel));
        for (int chunk = 0; chunk < usage.Chunks; chunk++)
        {
            await tell(new UsageItem((ulong)chunk, (ulong)usage.Chunks));
            await usage.CountAsync(chunk);
        }

        await tell(new UsageItem((ulong)usage.Chunks, (ulong)usage.Chunks, usage.Result(), usage.Total()));
    }

    internal async Task HashAsync(VolumeName name, Func<HashItem, ValueTask> tell, CancellationToken cancel)
    {
        long told = 0;
        ulong all = 0;
        var hash = await HashAsync(name, (done, of) =>
        {
            all = of;
            if (_context.Reactor.Now < told + TellEvery) return default;
            told = _context.Reactor.Now;
            return tell(new HashItem(done, of));
        }, cancel);
        await tell(new HashItem(all, all, Convert.ToHexStringLower(hash)));
    }

    /// <summary>A collection; who stops listening does not end it.</summary>
    internal async Task CollectAsync(bool dryRun, Func<CollectItem, ValueTask> tell)
    {
        (string Step, long At) told = ("", 0);
        var found = await CollectAsync(dryRun, (step, count) =>
        {
            if (step == told.Step && _context.Reactor.Now < told.At + TellEvery) return;
            told = (step, _context.Reactor.Now);
            _ = tell(new CollectItem(step, count)).AsTask();
        });
        await tell(new CollectItem("done", found.Objects, new CollectResult(found.Objects, found.Unreferenced, found.Removed, found.Foreign, found.Skipped)));
    }

    private ObjectSizes Sizes(CancellationToken cancel) => new(_context, _data, () => IsStopping || cancel.IsCancellationRequested);

    private async Task<(Volume Volume, SnapshotRecord? Snapshot, VersionMap Map)> LookAtAsync(VolumeName name)
    {
        var volume = await LookAsync(name.Volume);
        var snapshot = SnapshotOf(volume, name);
        return (volume, snapshot, snapshot == null ? volume.Head : await CachedMapAsync(volume.Root!, snapshot));
    }

    private static SnapshotRecord? SnapshotOf(Volume volume, VolumeName name) => name.Snapshot == null ? null : volume.Find(name.Snapshot) ?? throw NoSnapshot(name);

    private static ulong SizeOf(Volume volume, SnapshotRecord? snapshot) => snapshot?.Size ?? volume.Root!.Size;

    /// <summary>All versions of the volume, snapshots first, each with those that come from it, clones too, and the one from which it has come.</summary>
    private async ValueTask<List<Usage.Version>> VersionsAsync(Volume volume)
    {
        var root = volume.Root!;
        var clones = await ClonesAsync(root.Id);
        var versions = new List<Usage.Version>();
        foreach (var snapshot in volume.Snapshots.OrderBy(record => record.Number))
        {
            var near = await NearAsync(volume, snapshot.Parent);
            foreach (var child in volume.ChildrenOf(snapshot.Number)) near.Add(child == null ? volume.Head : await CachedMapAsync(root, child));
            near.AddRange(clones.Where(clone => clone.Number == snapshot.Number).Select(clone => clone.First));
            string name = snapshot.State == SnapshotState.Live ? snapshot.Name : $"#{snapshot.Number}";
            versions.Add(new Usage.Version(
                $"{root.Name}@{name}", snapshot.State == SnapshotState.Live ? "ok" : "deleting", snapshot.Size, MapGeometry.ObjectsFor(snapshot.Size, root.ObjectSize),
                await CachedMapAsync(root, snapshot), near));
        }

        versions.Add(new Usage.Version(root.Name, "ok", root.Size, MapGeometry.ObjectsFor(root.Size, root.ObjectSize), volume.Head, await NearAsync(volume, root.Parent)));
        return versions;
    }

    private async ValueTask<List<VersionMap>> NearAsync(Volume volume, ulong parent) => await ParentOfAsync(volume, parent) is { } map ? [map] : [];

    /// <summary>The first versions of the clones of a volume, by the number of the snapshot that they came from.</summary>
    private async ValueTask<List<(ulong Number, VersionMap First)>> ClonesAsync(ulong id)
    {
        var found = new List<(ulong, VersionMap)>();
        foreach (var record in (await Catalogue.ReadAsync()).Select(entry => entry.Record).Where(record => record.BaseVolume == id))
        {
            var clone = new Volume(record.Name, _context.Reactor);
            if (!await _store.TryLoadAsync(clone, record.Id)) continue;
            foreach (var first in clone.ChildrenOf(0)) found.Add((record.BaseSnapshot, first == null ? clone.Head : await CachedMapAsync(clone.Root!, first)));
        }

        return found;
    }
}
