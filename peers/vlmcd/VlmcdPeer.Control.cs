using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Scheduling;
using Archipelago.Vlmcd.Control;
using Archipelago.Vlmcd.Format;
using Archipelago.Vlmcd.Volumes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Vlmcd;

/// <summary>
/// <c>GET</c> and <c>POST /v1/volumes</c>; <c>GET</c>, <c>PUT</c> (resize) and <c>DELETE /v1/volumes/NAME</c> (<c>?force=true</c>: also
/// with a damaged header); <c>GET /v1/vlmcd</c>. All of it runs on the reactor, by message.
/// </summary>
public sealed partial class VlmcdPeer : IControlEndpoints
{
    void IControlEndpoints.Map(IEndpointRouteBuilder routes)
    {
        routes.GetJson("/v1/volumes", VlmcdJson.Default.VolumeList, _ => OnReactor(ListAsync));
        routes.PostJson("/v1/volumes", VlmcdJson.Default.VolumeCreate, VlmcdJson.Default.VolumeInfo, (body, _) => OnReactor(() => CreateAsync(body)));
        routes.GetJson("/v1/volumes/{name}", VlmcdJson.Default.VolumeInfo, context => OnReactor(() => InfoAsync(NameOf(context))));
        routes.PutJson("/v1/volumes/{name}", VlmcdJson.Default.VolumeResize, VlmcdJson.Default.VolumeInfo,
            (body, context) => OnReactor(async () => InfoOf(await _volumes.ResizeAsync(NameOf(context), body.Size))));
        routes.DeleteJson("/v1/volumes/{name}", ControlJson.Default.Nothing, context => OnReactor(async () =>
        {
            await _volumes.DeleteAsync(NameOf(context), context.Request.Query["force"] == "true", isReplay: false);
            return Nothing.Value;
        }));
        routes.GetJson("/v1/vlmcd", VlmcdJson.Default.VlmcdStatus, _ => OnReactor(() => Task.FromResult(StatusNow())));
    }

    private static string NameOf(HttpContext context) => CheckName(context.RouteValue("name"));

    private static string CheckName(string name) => VolumeName.Check(System.Text.Encoding.UTF8.GetBytes(name));

    private async Task<VolumeInfo> CreateAsync(VolumeCreate body)
    {
        string name = CheckName(body.Name ?? "");
        return InfoOf(await _volumes.CreateAsync(name, body.Size, body.ObjectSize ?? _options.ObjectSize, UInt128.Zero, isReplay: false));
    }

    private async Task<VolumeInfo> InfoAsync(string name) => InfoOf(await _volumes.InfoAsync(name));

    /// <summary>The list comes from the catalogue, what is open from memory: no header is read.</summary>
    private async Task<VolumeList> ListAsync()
    {
        await _volumes.EnsureCatalogueAsync();
        var volumes = _volumes.Catalogue.Live.Select(entry => InfoOf(entry.Record)).ToList();
        foreach (var (name, fault) in _volumes.BadHeaders)
            if (_volumes.Catalogue.Find(name) == null) volumes.Add(new VolumeInfo(name, 0, 0, null, 0, "damaged", fault));
        return new VolumeList([.. volumes.OrderBy(volume => volume.Name, StringComparer.Ordinal)]);
    }

    private VolumeInfo InfoOf(CatalogueRecord record)
    {
        if (_volumes.Table.Find(record.Name)?.Header is { } header) return InfoOf(header);
        string? fault = _volumes.BadHeaders.GetValueOrDefault(record.Name);
        return new VolumeInfo(record.Name, record.Size, record.ObjectSize, At(record.Created), 0, fault == null ? "ok" : "damaged", fault);
    }

    private VolumeInfo InfoOf(VolumeHeader header) => new(
        header.Name, header.Size, header.ObjectSize, At(header.Created), _volumes.Table.Find(header.Name)?.Openers.Total ?? 0,
        header.TrimEnd > header.Size ? "trimming" : "ok");

    private VlmcdStatus StatusNow() => new(
        _volumes.Catalogue.Live.Count(), _volumes.Table.All.Count(volume => volume.IsLoaded), _volumes.Purges,
        [.. _volumes.Catalogue.Damaged], [.. _volumes.BadHeaders.Values]);

    private static DateTimeOffset At(long nanoseconds) => DateTimeOffset.UnixEpoch.AddTicks(nanoseconds / 100);

    /// <summary>From a thread of the control plane to the reactor and back.</summary>
    private ValueTask<T> OnReactor<T>(Func<Task<T>> work)
    {
        if (Context is not { } context || _volumes is null) throw new ErrnoException(Errno.EAGAIN, "vlmcd is still starting; try again");
        return new ValueTask<T>(context.Reactor.CallAsync(work));
    }
}
