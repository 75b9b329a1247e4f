using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Scheduling;
using Archipelago.Vlmcd.Control;
using Archipelago.Vlmcd.Volumes;
using Archipelago.Xseg;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Vlmcd;

/// <summary>
/// <c>POST /v1/volumes</c> (create, clone); <c>PUT</c> (resize, rename, snapshot, rollback, flatten, open, close) and <c>DELETE /v1/volumes/NAME</c> or
/// <c>/NAME@SNAPSHOT</c> (<c>?snapshots=true</c>: with them); <c>GET /v1/vlmcd</c>. What volumes there are mapperd tells. All of it runs on the reactor, by message.
/// </summary>
public sealed partial class VlmcdPeer : IControlEndpoints
{
    void IControlEndpoints.Map(IEndpointRouteBuilder routes)
    {
        var json = VlmcdJson.Default;
        routes.PostJson("/v1/volumes", json.VolumeCreate, json.VolumeState, (body, _) => OnReactor(() => CreateAsync(body)));
        routes.PutJson("/v1/volumes/{name}", json.VolumeChange, json.VolumeState, (body, context) => OnReactor(() => ChangeAsync(NameOf(context), body, context.RequestAborted)));
        routes.DeleteJson("/v1/volumes/{name}", ControlJson.Default.Nothing, context => OnReactor(async () =>
        {
            await _volumes.ChangeClosedAsync(
                XsegOp.Delete, NameOf(context), _volumes.NewIdentity(), flags: context.Request.Query["snapshots"] == "true" ? RequestFlags.Force : RequestFlags.None);
            return Nothing.Value;
        }));
        routes.GetJson("/v1/vlmcd", json.VlmcdStatus, _ => OnReactor(() => Task.FromResult(StatusNow())));
    }

    private static VolumeName NameOf(HttpContext context) => VolumeName.Parse(context.RouteValue("name"));

    private async Task<VolumeState> CreateAsync(VolumeCreate body)
    {
        string name = VolumeName.Check(Encoding.UTF8.GetBytes(body.Name ?? ""));
        var target = new VolumeName(name, null);
        if (body.ObjectSize < 0) throw new ErrnoException(Errno.EINVAL, $"volume {name}: an object size of {body.ObjectSize} bytes: expected a power of two, 4,096 to 4,194,304");
        return State(name, body.From == null
            ? await _volumes.PassAsync(XsegOp.Create, target, _volumes.NewIdentity(), offset: (ulong)(body.ObjectSize ?? 0), length: body.Size)
            : await _volumes.PassAsync(XsegOp.Clone, target, _volumes.NewIdentity(), VolumeName.Parse(body.From).ToString(), length: body.Size));
    }

    private async Task<VolumeState> ChangeAsync(VolumeName name, VolumeChange body, CancellationToken reader)
    {
        if (body.Asked > 1) throw new ErrnoException(Errno.EINVAL, "the body asks for more than one change: send one of size, name, snapshot, rollback, flatten, open, close; nothing was changed");
        if (body.Close) return await CloseAsync(name);
        var identity = _volumes.NewIdentity();
        return State(body.Name ?? name.ToString(), body switch
        {
            { Size: { } size } => await _volumes.ResizeAsync(name, size, identity),
            { Name: { } to } => await _volumes.ChangeClosedAsync(XsegOp.Rename, name, identity, VolumeName.Check(Encoding.UTF8.GetBytes(to))),
            { Snapshot: { } snapshot } => await _volumes.SnapshotAsync(name, VolumeName.Check(Encoding.UTF8.GetBytes(snapshot)), identity),
            { Rollback: { } snapshot } => await _volumes.ChangeClosedAsync(XsegOp.Rollback, name, identity, VolumeName.Check(Encoding.UTF8.GetBytes(snapshot))),
            { Flatten: true } => await FlattenAsync(name, identity, reader),
            { Open: "write" or "read" or "standby" } => (await _volumes.OpenAsync(name, body.Open == "read", body.Open == "standby", Context.Port.Number)).Answer,
            _ => throw new ErrnoException(Errno.EINVAL, "the body says nothing to do: expected size, name, snapshot, rollback, flatten, open (write, read or standby) or close"),
        });
    }

    /// <summary>It ends with its reader: what it takes may be hours.</summary>
    private async Task<OpenAnswer> FlattenAsync(VolumeName name, UInt128 identity, CancellationToken reader)
    {
        await using var ended = reader.Register(() => _ = OnReactor(async () =>
        {
            await _volumes.EndFlattenAsync(name);
            return true;
        }).AsTask());
        return await _volumes.FlattenAsync(name, identity);
    }

    /// <summary>Closes, and tells what: a volume may be open for writing and for reading at a time.</summary>
    private async Task<VolumeState> CloseAsync(VolumeName name)
    {
        bool stoodBy = _volumes.Table.Find(VolumeKey.Of(name, false)) is { IsStandby: true };
        var closed = await _volumes.CloseOwnAsync(name, Context.Port.Number);
        return State(name.ToString(), await _volumes.PassAsync(XsegOp.Info, name, _volumes.NewIdentity())) with { Closed = closed.IsReadOnly ? "read" : stoodBy ? "standby" : "write" };
    }

    private static VolumeState State(string name, OpenAnswer answer) => new(name, answer.Size, answer.ObjectSize);

    private VlmcdStatus StatusNow() => new(
        [.. _volumes.Table.All.Where(volume => volume.IsLoaded).Select(volume => new OpenVolume(
            volume.Name, volume.Openers.Total, volume.IsReadOnly, volume.IsStandby, volume.Openers.Of(Context.Port.Number))).OrderBy(volume => volume.Name, StringComparer.Ordinal)]);

    /// <summary>From a thread of the control plane to the reactor and back.</summary>
    private ValueTask<T> OnReactor<T>(Func<Task<T>> work)
    {
        if (Context is not { } context || _volumes is null) throw new ErrnoException(Errno.EAGAIN, "vlmcd is still starting; try again");
        return new ValueTask<T>(context.Reactor.CallAsync(work));
    }
}
