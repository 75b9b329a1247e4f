using System.Buffers.Binary;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Vlmcd.Data;
using Archipelago.Vlmcd.Format;
using Archipelago.Vlmcd.Maps;
using Archipelago.Vlmcd.Volumes;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd;

/// <summary>
/// Volumes: a header object and objects of a fixed size named from it. Requests for a volume are passed on per object, on the issuer's
/// own pages. Ops, layouts and orders of writes are in README.md. One reactor.
/// </summary>
public sealed partial class VlmcdPeer : Peer
{
    private readonly VlmcdOptions _options;
    private readonly Func<VolumeHeader, IObjectMap> _maps;
    private VolumeService _volumes = null!;
    private DataPath _data = null!;
    private Listing _listing = null!;
    private ObjectIo _lookups = null!;

    /// <summary>Makes the peer.</summary>
    /// <exception cref="ErrnoException">EINVAL: an option is out of range.</exception>
    public VlmcdPeer(VlmcdOptions options) : this(options, static header => new DirectMap(header.Id))
    {
    }

    /// <summary>Makes the peer with maps of another kind.</summary>
    public VlmcdPeer(VlmcdOptions options, Func<VolumeHeader, IObjectMap> maps)
    {
        options.Check();
        (_options, _maps) = (options, maps);
    }

    internal VolumeService Volumes => _volumes;

    /// <summary>What it has done. Readable by any thread.</summary>
    public VlmcdStatistics Statistics { get; } = new();

    /// <inheritdoc/>
    public override ValueTask StartAsync()
    {
        var blocks = Context.OpenRoute(_options.Blocks);
        _volumes = new VolumeService(Context, blocks, _options, _maps, Statistics);
        _data = new DataPath(Context, blocks, _options, Statistics);
        _lookups = new ObjectIo(Context, blocks, _volumes.MetadataFlow);
        _listing = new Listing(Context, _lookups, _options);
        // Whoever serves the blocks need not be there yet: requests wait, the start does not.
        LoadInBackground();
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public override ValueTask<int> HandleAsync(Request request)
    {
        var op = request.Op;
        switch (op)
        {
            case XsegOp.Read or XsegOp.Write or XsegOp.Flush or XsegOp.Discard or XsegOp.WriteZeroes:
                var volume = _volumes.Table.ByFlow(request.Flow);
                return volume is { IsReady: true } && volume.Matches(request.Target) ? _data.Run(request, op, volume) : HandleSlowly(request, op);
            case XsegOp.Ping:
                return new ValueTask<int>(0);
            default:
                return HandleSlowly(request, op);
        }
    }

    /// <summary>
    /// Stops background deletions (they go on at the next start), waits for what is under way, and makes what open volumes were told is
    /// written stable.
    /// </summary>
    /// <exception cref="ErrnoException">A flush failed: the peer goes on.</exception>
    public override async ValueTask StopAsync()
    {
        foreach (var volume in _volumes.Table.All.Where(volume => volume.IsLoaded).ToArray())
            if (await _volumes.FlushAsync(volume) is var status and not 0)
                throw new ErrnoException(status, $"volume {volume.Name}: the flush failed: {Errno.Describe(status)}; nothing was stopped");
        _volumes.IsStopping = true;
        while (_volumes.InFlight + _data.InFlight + _lookups.InFlight > 0) await Context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
    }

    private async ValueTask<int> HandleSlowly(Request request, XsegOp op)
    {
        try
        {
            if (request.Target.IsEmpty) return await HandleCatalogueAsync(request, op);
            string name = VolumeName.Check(request.Target);
            switch (op)
            {
                case XsegOp.Read or XsegOp.Write or XsegOp.Flush or XsegOp.Discard or XsegOp.WriteZeroes or XsegOp.MapRead:
                    return await ResumeAsync(request, op, name);
                case XsegOp.Create:
                    var created = await _volumes.CreateAsync(name, request.Length, _options.ObjectSize, IdentityOf(request), request.Attempts > 0);
                    request.Serviced = created.Size;
                    return 0;
                case XsegOp.Open:
                    var (header, flow) = await _volumes.OpenAsync(name, request.Issuer);
                    request.Serviced = header.Size;
                    BinaryPrimitives.WriteUInt64LittleEndian(request.Result, (ulong)header.ObjectSize);
                    BinaryPrimitives.WriteUInt32LittleEndian(request.Result[8..], flow);
                    return 0;
                case XsegOp.Close:
                    await _volumes.CloseAsync(name, request.Issuer);
                    return 0;
                case XsegOp.Info:
                    request.Serviced = (await _volumes.InfoAsync(name)).Size;
                    return 0;
                case XsegOp.Truncate:
                    request.Serviced = (await _volumes.ResizeAsync(name, request.Length)).Size;
                    return 0;
                case XsegOp.Delete:
                    await _volumes.DeleteAsync(name, (request.Flags & RequestFlags.Force) != 0, request.Attempts > 0);
                    request.Serviced = 1;
                    return 0;
                default:
                    return Errno.ENOTSUP;
            }
        }
        catch (ErrnoException refused)
        {
            Context.Log.LogDebug("{Op} refused: {Reason}", op, refused.Message);
            return refused.Errno;
        }
    }

    /// <summary>A data request of a volume that is held, or that a predecessor had loaded.</summary>
    private async ValueTask<int> ResumeAsync(Request request, XsegOp op, string name)
    {
        while (true)
        {
            await _volumes.ResumeAsync(name, request.Flow, request.Issuer);
            var volume = _volumes.Table.ByFlow(request.Flow);
            if (volume is not { IsReady: true } || volume.Name != name) continue;
            return op == XsegOp.MapRead ? await _listing.MapAsync(request, volume, request.Offset, request.Length) : await _data.Run(request, op, volume);
        }
    }

    private async ValueTask<int> HandleCatalogueAsync(Request request, XsegOp op)
    {
        if (op is not (XsegOp.Info or XsegOp.Read)) return Errno.ENOTSUP;
        await _volumes.EnsureCatalogueAsync();
        var list = _volumes.Catalogue.Listing;
        if (op == XsegOp.Read) return await _listing.ReadList(request, list);
        request.Serviced = (ulong)list.Length;
        return 0;
    }

    /// <summary>Until it succeeds: deletions that a crash cut off wait for it.</summary>
    private async void LoadInBackground()
    {
        for (var delay = VolumeService.FirstRetry; !_volumes.IsStopping; delay = VolumeService.NextRetry(delay))
        {
            try
            {
                await _volumes.EnsureCatalogueAsync();
                return;
            }
            catch (Exception fault)
            {
                if (fault is not ErrnoException)
                    Context.Log.LogError(fault, "the catalogue cannot be loaded: {Error}; next try in {Delay}", fault.Message, delay);
                // An errno is logged already. A request that needs the catalogue does not wait for this, it tries itself.
                await Context.Reactor.Delay(delay);
            }
        }
    }

    /// <summary>Names one use of one slot of one segment.</summary>
    private UInt128 IdentityOf(in Request request) =>
        new((ulong)Context.Segment.CreationId, ((ulong)request.Slot << 32) | request.Generation);
}
