using System.Buffers.Binary;
using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Vlmcd.Data;
using Archipelago.Vlmcd.Maps;
using Archipelago.Vlmcd.Volumes;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd;

/// <summary>
/// Volumes for gateways: their requests are passed on per object, on the issuer's own pages; what changes a volume as a whole is asked of mapperd, with I/O at
/// rest where it must be. Ops are in README.md. One reactor.
/// </summary>
public sealed partial class VlmcdPeer : Peer
{
    /// <summary>Nanoseconds after which the map of a volume that is only read is read again.</summary>
    private const long MaxViewAge = 1_000_000_000;

    private readonly VlmcdOptions _options;
    private readonly Func<Volume, OpenAnswer, IObjectMap>? _makeMap;
    private readonly Refusals _refusals = new();
    private VolumeService _volumes = null!;
    private DataPath _data = null!;
    private Listing _listing = null!;
    private ObjectIo _lookups = null!;
    private Route _maps = null!;

    /// <summary>Makes the peer.</summary>
    /// <param name="options">Its options.</param>
    /// <param name="direct">Take all objects of a volume to be in its own layer, without asking its map: for measuring what maps cost, on volumes that share nothing.</param>
    /// <exception cref="ErrnoException">EINVAL: an option is out of range.</exception>
    public VlmcdPeer(VlmcdOptions options, bool direct = false)
        : this(options, direct ? (_, answer) => new DirectMap(answer.Layer) : null)
    {
    }

    internal VlmcdPeer(VlmcdOptions options, Func<Volume, OpenAnswer, IObjectMap>? makeMap)
    {
        options.Check();
        (_options, _makeMap) = (options, makeMap);
    }

    internal VolumeService Volumes => _volumes;

    /// <summary>What it has done. Readable by any thread.</summary>
    public VlmcdStatistics Statistics { get; } = new();

    /// <inheritdoc/>
    public override ValueTask StartAsync()
    {
        var blocks = Context.OpenRoute(_options.Blocks);
        _maps = Context.OpenRoute(_options.Maps);
        _volumes = new VolumeService(Context, blocks, _maps, Statistics, _makeMap);
        _data = new DataPath(Context, blocks, _options, Statistics);
        _lookups = new ObjectIo(Context, blocks, 0);
        _listing = new Listing(Context, _lookups, _options);
        _ = _volumes.CloseLeftAsync();
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
                return volume is { IsReady: true } && volume.Matches(request.Target) && !IsOutOfDate(volume) && (!volume.IsStandby || op == XsegOp.Flush) ? _data.Run(request, op, volume) : HandleSlowly(request, op);
            case XsegOp.Ping:
                return new ValueTask<int>(0);
            default:
                return HandleSlowly(request, op);
        }
    }

    /// <summary>Waits for what is under way, and makes what open volumes were told is written stable.</summary>
    /// <exception cref="ErrnoException">A flush failed: the peer goes on.</exception>
    public override async ValueTask StopAsync()
    {
        foreach (var volume in _volumes.Table.All.Where(volume => volume is { IsLoaded: true, IsReadOnly: false }).ToArray())
        {
            int status = await _volumes.FlushAsync(volume);
            // Another host has it: nothing of it can be written from here, however long this waits.
            if (status == Errno.ESTALE) Context.Log.LogWarning("volume {Volume}: lost to another host; what was not flushed is lost", volume.Name);
            else if (status != 0)
                throw new ErrnoException(status, $"volume {volume.Name}: the flush failed: {Errno.Describe(status)}; nothing was stopped");
        }

        _volumes.IsStopping = true;
        await _volumes.EndFlattensAsync();
        while (_volumes.InFlight + _data.InFlight + _lookups.InFlight > 0) await Context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
    }

    private async ValueTask<int> HandleSlowly(Request request, XsegOp op)
    {
        try
        {
            if (request.Target.IsEmpty) return await PassListAsync(request, op);
            if (op == XsegOp.Read && Refusals.TryParse(request.Target, out var identity)) return await _listing.AnswerTextAsync(request, _refusals.Find(identity));
            var name = VolumeName.Parse(request.Target);
            return op is XsegOp.Read or XsegOp.Write or XsegOp.Flush or XsegOp.Discard or XsegOp.WriteZeroes or XsegOp.MapRead
                ? await ResumeAsync(request, op, name) : await ControlAsync(request, op, name);
        }
        catch (ErrnoException refused)
        {
            Context.Log.LogDebug("{Op} refused: {Reason}", op, refused.Message);
            _refusals.Keep(request.Identity, refused.Message);
            return refused.Errno;
        }
    }

    private async ValueTask<int> ControlAsync(Request request, XsegOp op, VolumeName name)
    {
        bool readOnly = (request.Flags & RequestFlags.ReadOnly) != 0;
        string? source = request.Source.IsEmpty ? null : Encoding.ASCII.GetString(request.Source);
        var identity = IdentityOf(request);
        switch (op)
        {
            case XsegOp.Open:
                var (volume, opened) = await _volumes.OpenAsync(name, readOnly, (request.Flags & RequestFlags.NoSync) != 0, request.Issuer);
                BinaryPrimitives.WriteUInt64LittleEndian(request.Result, (ulong)opened.ObjectSize);
                BinaryPrimitives.WriteUInt32LittleEndian(request.Result[8..], opened.Flow);
                BinaryPrimitives.WriteUInt32LittleEndian(request.Result[12..], volume.IsReadOnly ? 1u : 0);
                return Answer(request, opened);
            case XsegOp.Close:
                await _volumes.CloseAsync(name, readOnly, request.Flow, request.Issuer);
                return 0;
            case XsegOp.Info:
                return Answer(request, await _volumes.InfoAsync(name, identity));
            case XsegOp.Create when (request.Flags & RequestFlags.List) != 0:
                return Answer(request, await _volumes.PassAsync(request, name, identity));
            case XsegOp.Create or XsegOp.Clone:
                return Answer(request, await _volumes.PassAsync(op, name, identity, source, request.Offset, request.Length));
            case XsegOp.Hash:
                var digest = new byte[64];
                await _volumes.PassAsync(op, name, identity, result: digest);
                digest.CopyTo(request.Result);
                return 0;
            case XsegOp.Truncate:
                return Answer(request, await _volumes.ResizeAsync(name, request.Length, identity));
            case XsegOp.Snapshot:
                return Answer(request, await _volumes.SnapshotAsync(name, VolumeName.Check(request.Source), identity));
            case XsegOp.Flatten:
                return Answer(request, await _volumes.FlattenAsync(name, identity));
            case XsegOp.Rollback or XsegOp.Rename:
                return Answer(request, await _volumes.ChangeClosedAsync(op, name, identity, VolumeName.Check(request.Source)));
            case XsegOp.Delete:
                return await DeleteAsync(request, name, identity);
            default:
                return Errno.ENOTSUP;
        }
    }

    private async ValueTask<int> DeleteAsync(Request request, VolumeName name, UInt128 identity)
    {
        try
        {
            await _volumes.ChangeClosedAsync(XsegOp.Delete, name, identity, flags: request.Flags & RequestFlags.Force);
        }
        catch (ErrnoException gone) when (gone.Errno == Errno.ENOENT && request.Attempts > 0)
        {
            // The replay of a request that was carried out before its holder died.
        }

        request.Serviced = 1;
        return 0;
    }

    /// <summary>What is only read here may be changed by whoever else has it: its map is read again now and then.</summary>
    private bool IsOutOfDate(Volume volume) => volume.IsView && Context.Reactor.Now - volume.LoadedAt > MaxViewAge;

    /// <summary>A data request of a volume that is held, or that a predecessor had loaded.</summary>
    private async ValueTask<int> ResumeAsync(Request request, XsegOp op, VolumeName name)
    {
        while (true)
        {
            await _volumes.ResumeAsync(name, request.Flow, request.Issuer);
            var volume = _volumes.Table.ByFlow(request.Flow);
            if (volume is not { IsReady: true } || !volume.Matches(request.Target)) continue;
            if (IsOutOfDate(volume))
            {
                await _volumes.ForgetAsync(volume);
                continue;
            }

            // Reads try it too: once the source has let go its guest runs here, and must see the last that it wrote.
            if (volume.IsStandby && op != XsegOp.Flush)
            {
                bool waits = op is not (XsegOp.Read or XsegOp.MapRead);
                await _volumes.TakeOverAsync(name, waits, MaxViewAge);
                volume = _volumes.Table.ByFlow(request.Flow);
                if (waits || volume is not { IsReady: true } || !volume.Matches(request.Target)) continue;
            }

            return op == XsegOp.MapRead ? await _listing.MapAsync(request, volume, request.Offset, request.Length) : await _data.Run(request, op, volume);
        }
    }

    /// <summary>The list of the volumes is mapperd's.</summary>
    private async ValueTask<int> PassListAsync(Request request, XsegOp op)
    {
        if (op is not (XsegOp.Info or XsegOp.Read)) return Errno.ENOTSUP;
        var child = await Context.AllocateAsync(SlotUse.Forward);
        Context.Port.Prepare(child, op, request.Flow, default, default, request.Offset, request.Length);
        Context.Port.SetParent(child, request);
        if (op == XsegOp.Read)
        {
            if (!request.TryData(out var data))
            {
                Context.Free(child);
                return Context.BadRequest();
            }

            Context.Port.Borrow(child, data, 0);
        }

        int status = await _maps.SubmitAsync(child);
        request.Serviced = child.Serviced;
        Context.Free(child);
        return status;
    }

    private static int Answer(in Request request, OpenAnswer answer)
    {
        request.Serviced = answer.Size;
        return 0;
    }

    /// <summary>Names one use of one slot of one segment.</summary>
    private UInt128 IdentityOf(in Request request) =>
        new((ulong)Context.Segment.CreationId, ((ulong)request.Slot << 32) | request.Generation);
}
