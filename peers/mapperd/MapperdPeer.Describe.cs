using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Volumes;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Mapperd;

/// <summary>Volumes and snapshots as the control plane shows them.</summary>
public sealed partial class MapperdPeer
{
    /// <summary>From the catalogue alone, unless the snapshots are wanted, which are in the headers.</summary>
    private async Task<VolumeList> ListAsync(bool snapshots)
    {
        var records = (await _volumes.Catalogue.ReadAsync()).Select(entry => entry.Record).ToList();
        var list = new List<VolumeInfo>();
        foreach (var record in records.Where(record => record.State != RecordState.Creating).OrderBy(record => record.Name, StringComparer.Ordinal))
            list.Add(snapshots && record.State == RecordState.Live ? await WithSnapshotsAsync(record, records) : ShortInfo(record, records));
        return new VolumeList(list);
    }

    private async ValueTask<VolumeInfo> WithSnapshotsAsync(CatalogueRecord record, IReadOnlyList<CatalogueRecord> records)
    {
        var info = ShortInfo(record, records);
        var seen = new Volume(record.Name, Context.Reactor);
        try
        {
            if (!await _volumes.Store.TryLoadAsync(seen, record.Id)) return info with { State = "damaged", Fault = $"its header, object v.{record.Id:x16}, is missing" };
        }
        catch (ErrnoException damaged)
        {
            return info with { State = "damaged", Fault = damaged.Message };
        }

        var all = SnapshotsOf(seen, records);
        return info with { Parent = seen.Root!.Parent, Snapshots = all, State = seen.Faults.Count > 0 ? "damaged" : info.State, Fault = seen.Faults.Count > 0 ? string.Join("; ", seen.Faults.Values) : null };
    }

    private VolumeInfo ShortInfo(CatalogueRecord record, IReadOnlyList<CatalogueRecord> records)
    {
        string? from = record.BaseVolume == 0 ? null : records.FirstOrDefault(other => other.Id == record.BaseVolume)?.Name ?? $"{record.BaseVolume:x16}";
        return new VolumeInfo(
            record.Name, $"{record.Id:x16}", record.Size, record.ObjectSize, At(record.Created), record.State == RecordState.Live ? "ok" : "deleting",
            Base: from == null ? null : $"{from}@#{record.BaseSnapshot}", Removal: record.State == RecordState.Live ? null : _volumes.RemovalOf(record));
    }

    private async Task<VolumeInfo> DescribeAsync(VolumeName name)
    {
        var volume = await _volumes.LookAsync(name.Volume);
        var root = volume.Root!;
        var records = (await _volumes.Catalogue.ReadAsync()).Select(entry => entry.Record).ToArray();
        var snapshots = SnapshotsOf(volume, records);
        if (name.Snapshot != null && !snapshots.Any(snapshot => snapshot.Name == name.Snapshot && snapshot.State == "ok")) throw VolumeService.NoSnapshot(name);
        return new VolumeInfo(
            root.Name, $"{root.Id:x16}", root.Size, root.ObjectSize, At(root.Created), volume.Faults.Count > 0 ? "damaged" : "ok", volume.Faults.Count > 0 ? string.Join("; ", volume.Faults.Values) : null,
            await BaseNameAsync(root), root.Parent, root.Epoch, snapshots, MapGeometry.ObjectsFor(root.Size, root.ObjectSize), await _volumes.LockOfAsync(root.Name, root.Id),
            _volumes.RemovalOf(volume), _volumes.Progress.TryGetValue(root.Name, out var work) ? new WorkDone(work.Done, work.Of) : null);
    }

    private static SnapshotInfo[] SnapshotsOf(Volume volume, IReadOnlyList<CatalogueRecord> records)
    {
        ulong id = volume.Root!.Id;
        return [.. volume.Snapshots.OrderBy(record => record.Number).Select(record => new SnapshotInfo(
            record.Name, record.Number, record.Parent, record.Size, At(record.Created), record.State == SnapshotState.Live ? "ok" : "deleting",
            [.. records.Where(clone => clone.State == RecordState.Live && clone.BaseVolume == id && clone.BaseSnapshot == record.Number).Select(clone => clone.Name).Order(StringComparer.Ordinal)]))];
    }

    private async Task<string?> BaseNameAsync(VolumeRoot root)
    {
        if (root.BaseVolume == 0) return null;
        if (await _volumes.Store.ReadRootAsync(root.BaseVolume) is not { } from) return $"{root.BaseVolume:x16}@#{root.BaseSnapshot}";
        var seen = new Volume(from.Name, Context.Reactor);
        await _volumes.Store.TryLoadAsync(seen, root.BaseVolume);
        return $"{from.Name}@{seen.Find(root.BaseSnapshot)?.Name ?? $"#{root.BaseSnapshot}"}";
    }

    private static DateTimeOffset At(long nanoseconds) => DateTimeOffset.UnixEpoch.AddTicks(nanoseconds / 100);
}
