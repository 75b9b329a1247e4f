using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Volumes;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Scheduling;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Mapperd;

/// <summary><c>GET /v1/volumes</c>, <c>GET /v1/volumes/NAME</c>, <c>GET /v1/mapperd</c>. All of it runs on the reactor, by message.</summary>
public sealed partial class MapperdPeer : IControlEndpoints
{
    void IControlEndpoints.Map(IEndpointRouteBuilder routes)
    {
        var json = MapperdJson.Default;
        routes.GetJson("/v1/volumes", json.VolumeList, _ => OnReactor(ListAsync));
        routes.GetJson("/v1/volumes/{name}", json.VolumeInfo, context => OnReactor(() => DescribeAsync(VolumeName.Parse(context.RouteValue("name")))));
        routes.GetJson("/v1/mapperd", json.MapperdStatus, _ => OnReactor(() => Task.FromResult(StatusNow())));
    }

    /// <summary>From the catalogue alone: no header is read.</summary>
    private async Task<VolumeList> ListAsync()
    {
        var records = (await _volumes.Catalogue.ReadAsync()).Select(entry => entry.Record).ToList();
        var names = records.DistinctBy(record => record.Id).ToDictionary(record => record.Id, record => record.Name);
        return new VolumeList(
            [.. records.Where(record => record.State != RecordState.Creating).OrderBy(record => record.Name, StringComparer.Ordinal).Select(record => new VolumeInfo(
                record.Name, $"{record.Id:x16}", record.Size, record.ObjectSize, At(record.Created), record.State == RecordState.Live ? "ok" : "deleting",
                Base: record.BaseVolume == 0 ? null : $"{names.GetValueOrDefault(record.BaseVolume, $"{record.BaseVolume:x16}")}@#{record.BaseSnapshot}"))]);
    }

    private async Task<VolumeInfo> DescribeAsync(VolumeName name)
    {
        var volume = await _volumes.LookAsync(name.Volume);
        var root = volume.Root!;
        var records = (await _volumes.Catalogue.ReadAsync()).Select(entry => entry.Record).Where(record => record.State == RecordState.Live).ToArray();
        var snapshots = volume.Snapshots.OrderBy(record => record.Number).Select(record => new SnapshotInfo(
            record.Name, record.Number, record.Parent, record.Size, At(record.Created), record.State == SnapshotState.Live ? "ok" : "deleting",
            [.. records.Where(clone => clone.BaseVolume == root.Id && clone.BaseSnapshot == record.Number).Select(clone => clone.Name).Order(StringComparer.Ordinal)])).ToArray();
        if (name.Snapshot != null && !snapshots.Any(snapshot => snapshot.Name == name.Snapshot && snapshot.State == "ok")) throw new ErrnoException(Errno.ENOENT, $"there is no snapshot {name}");
        return new VolumeInfo(
            root.Name, $"{root.Id:x16}", root.Size, root.ObjectSize, At(root.Created), volume.Faults.Count > 0 ? "damaged" : "ok", volume.Faults.Count > 0 ? string.Join("; ", volume.Faults.Values) : null,
            await BaseNameAsync(root), root.Parent, root.Epoch, snapshots);
    }

    private async Task<string?> BaseNameAsync(VolumeRoot root)
    {
        if (root.BaseVolume == 0) return null;
        if (await _volumes.Store.ReadRootAsync(root.BaseVolume) is not { } from) return $"{root.BaseVolume:x16}@#{root.BaseSnapshot}";
        var seen = new Volume(from.Name, Context.Reactor);
        await _volumes.Store.TryLoadAsync(seen, root.BaseVolume);
        return $"{from.Name}@{seen.Find(root.BaseSnapshot)?.Name ?? $"#{root.BaseSnapshot}"}";
    }

    private MapperdStatus StatusNow() => new(
        [.. _volumes.Table.All.Where(volume => volume.IsOpen).Select(volume => volume.Name).Order(StringComparer.Ordinal)], _volumes.Purges, _volumes.Store.Chunks.Count, _volumes.Catalogue.Damaged);

    private static DateTimeOffset At(long nanoseconds) => DateTimeOffset.UnixEpoch.AddTicks(nanoseconds / 100);

    /// <summary>From a thread of the control plane to the reactor and back.</summary>
    private ValueTask<T> OnReactor<T>(Func<Task<T>> work)
    {
        if (Context is not { } context || _volumes is null) throw new ErrnoException(Errno.EAGAIN, "mapperd is still starting; try again");
        return new ValueTask<T>(context.Reactor.CallAsync(work));
    }
}
