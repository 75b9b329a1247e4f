using System.Buffers.Binary;
using System.Text;
using Archipelago.Mapperd.Maps;
using Archipelago.Mapperd.Volumes;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd;

/// <summary>Maps of volumes, snapshots, clones, exclusive open. Ops, layouts and orders of writes are in README.md. One reactor.</summary>
public sealed partial class MapperdPeer : Peer
{
    private const int MostLooks = 2;

    private readonly MapperdOptions _options;
    private readonly Refusals _refusals = new();
    private VolumeService _volumes = null!;
    private MapReader _reader = null!;

    /// <summary>Makes the peer.</summary>
    /// <exception cref="ErrnoException">EINVAL: an option is out of range.</exception>
    public MapperdPeer(MapperdOptions options)
    {
        options.Check();
        _options = options;
    }

    internal VolumeService Volumes => _volumes;
    internal string LastRefusal => _refusals.Last;

    /// <summary>Removals of snapshots and volumes that go on in the background. For its reactor.</summary>
    public int Removals => _volumes.Purges;

    /// <inheritdoc/>
    public override ValueTask StartAsync()
    {
        uint flow = FlowTable.FindOrAdd(Context.Segment, FlowTable.MapsName, space: Xseg.Layout.FlowSpace.Maps);
        var meta = new ObjectIo(Context, Context.OpenRoute(_options.Blocks), flow);
        var data = new ObjectIo(Context, Context.OpenRoute(_options.Objects), flow);
        _volumes = new VolumeService(Context, _options, meta, data);
        _reader = new MapReader(Context);
        // Whoever serves the blocks need not be there yet: requests wait, the start does not.
        _volumes.StartSettling();
        RenewInBackground();
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public override async ValueTask<int> HandleAsync(Request request)
    {
        try
        {
            switch (request.Op)
            {
                // What was answered is stable.
                case XsegOp.Ping or XsegOp.Flush:
                    return 0;
                case XsegOp.Read when Refusals.TryParse(request.Target, out var identity):
                    return await _reader.AnswerListAsync(request, _refusals.Find(identity));
                case XsegOp.MapRead or XsegOp.Read when !request.Target.IsEmpty:
                    return await ReadMapAsync(request);
                case XsegOp.MapWrite:
                    return await WriteMapAsync(request);
                case XsegOp.Info or XsegOp.Read when request.Target.IsEmpty:
                    return await ReadListAsync(request);
                default:
                    return await ControlAsync(request);
            }
        }
        catch (ErrnoException refused)
        {
            Context.Log.LogDebug("{Op} refused: {Reason}", request.Op, refused.Message);
            _refusals.Keep(request.Identity, refused.Message);
            return refused.Errno;
        }
    }

    /// <summary>Stops background work (it goes on at the next start) and waits for what is under way.</summary>
    public override async ValueTask StopAsync()
    {
        _volumes.IsStopping = true;
        while (_volumes.InFlight > 0 || _volumes.Purges > 0) await Context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
        // Whoever comes next need not wait for the lease to run out.
        await _volumes.StopAsync();
    }

    private async ValueTask<int> ControlAsync(Request request)
    {
        var name = VolumeName.Parse(request.Target);
        var identity = request.Identity;
        switch (request.Op)
        {
            case XsegOp.Create when (request.Flags & RequestFlags.List) != 0:
                if (request.Offset != 0) throw new ErrnoException(Errno.EINVAL, "the data of a list of objects begins at offset 0");
                return ObjectIo.DataOf(request) is { } list ? Answer(request, await _volumes.AssembleAsync(Whole(name), SourceList.Parse(list), identity)) : Errno.EBADMSG;
            case XsegOp.Create:
                return Answer(request, await _volumes.CreateAsync(Whole(name), request.Length, (int)Math.Min(request.Offset, int.MaxValue), identity));
            case XsegOp.Clone:
                return Answer(request, await _volumes.CloneAsync(Whole(name), VolumeName.Parse(request.Source), request.Length, identity));
            case XsegOp.Open:
                return await OpenAsync(request, name, (request.Flags & RequestFlags.ReadOnly) != 0);
            case XsegOp.Close:
                if (name.Snapshot == null && (request.Flags & RequestFlags.ReadOnly) == 0) await _volumes.CloseAsync(name.Volume, request.Issuer, request.Attempts > 0);
                return 0;
            case XsegOp.Info:
                return await InfoAsync(request, name);
            case XsegOp.Truncate:
                return Answer(request, await _volumes.ResizeAsync(Whole(name), request.Length));
            case XsegOp.Snapshot:
                return Answer(request, await _volumes.SnapshotAsync(Whole(name), VolumeName.Check(request.Source), identity));
            case XsegOp.Rollback:
                return Answer(request, await _volumes.RollbackAsync(Whole(name), VolumeName.Check(request.Source), identity));
            case XsegOp.Flatten when (request.Flags & RequestFlags.Force) != 0:
                _volumes.EndFlatten(Whole(name));
                return 0;
            case XsegOp.Flatten:
                return Answer(request, await _volumes.FlattenAsync(Whole(name)));
            case XsegOp.Rename:
                return Answer(request, await _volumes.RenameAsync(Whole(name), VolumeName.Check(request.Source), identity));
            case XsegOp.Delete:
                return await DeleteAsync(request, name);
            case XsegOp.Hash:
                (await _volumes.HashAsync(name)).CopyTo(request.Result);
                return 0;
            default:
                return Errno.ENOTSUP;
        }
    }

    private async ValueTask<int> DeleteAsync(Request request, VolumeName name)
    {
        try
        {
            if (name.Snapshot != null) await _volumes.DeleteSnapshotAsync(name);
            else await _volumes.DeleteAsync(name.Volume, snapshots: (request.Flags & RequestFlags.Force) != 0, isForNobody: (request.Flags & RequestFlags.NoSync) != 0);
        }
        catch (ErrnoException gone) when (gone.Errno == Errno.ENOENT && request.Attempts > 0)
        {
            // The replay of a request that was carried out before its holder died.
        }

        request.Serviced = 1;
        return 0;
    }

    /// <summary>Size; object size, flow, whether only for reading, own layer: see README.md.</summary>
    private async ValueTask<int> OpenAsync(Request request, VolumeName name, bool readOnly)
    {
        if (name.Snapshot == null && !readOnly)
        {
            var volume = await _volumes.OpenAsync(name.Volume, request.Issuer, isPatient: (request.Flags & RequestFlags.NoSync) == 0);
            Answer(request, volume.Root!);
            BinaryPrimitives.WriteUInt32LittleEndian(request.Result[8..], volume.Flow);
            return 0;
        }

        var (root, size) = await _volumes.FindVersionAsync(name);
        bool standsBy = name.Snapshot == null && (request.Flags & RequestFlags.NoSync) != 0;
        uint flow = standsBy ? await _volumes.StandByAsync(name.Volume, request.Issuer) : await _volumes.ReadOnlyFlowAsync(name, request.Issuer);
        Answer(request, root);
        request.Serviced = size;
        BinaryPrimitives.WriteUInt32LittleEndian(request.Result[8..], flow);
        BinaryPrimitives.WriteUInt32LittleEndian(request.Result[12..], 1);
        // Of a snapshot nothing changes any more; of a head that somebody else may be writing to, its own layer does.
        if (name.Snapshot != null) BinaryPrimitives.WriteUInt64LittleEndian(request.Result[16..], 0);
        return 0;
    }

    private async ValueTask<int> InfoAsync(Request request, VolumeName name)
    {
        var (root, size) = await _volumes.FindVersionAsync(name);
        Answer(request, root);
        request.Serviced = size;
        return 0;
    }

    private static int Answer(in Request request, Format.VolumeRoot root)
    {
        request.Serviced = root.Size;
        request.Result.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(request.Result, (ulong)root.ObjectSize);
        BinaryPrimitives.WriteUInt64LittleEndian(request.Result[16..], root.Layer);
        return 0;
    }

    /// <summary>Bytes [offset, offset + length) of the map, 8 per object.</summary>
    private async ValueTask<int> ReadMapAsync(Request request)
    {
        ulong offset = request.Offset, length = request.Length;
        if (((offset | length) & 7) != 0 || length > MapGeometry.ChunkBytes) return Errno.EINVAL;
        var name = VolumeName.Parse(request.Target);
        bool isHead = name.Snapshot == null && (request.Flags & RequestFlags.ReadOnly) == 0;
        for (int tries = 0; ; tries++)
        {
            var map = isHead ? (await _volumes.ResumeAsync(name.Volume, request.Flow, request.Issuer)).Head : await _volumes.MapOfAsync(name);
            byte[] entries = await MapReader.EntriesAsync(map, offset / 8, (int)(length / 8));
            // Another host may have put a chunk in the place of the one that was named when the directory was read, and removed that.
            if (isHead || tries == MostLooks || !MapReader.IsDamaged(entries)) return await _reader.AnswerAsync(request, entries);
        }
    }

    /// <summary>Makes one object the volume's own; its entry in the result.</summary>
    private async ValueTask<int> WriteMapAsync(Request request)
    {
        if ((request.Offset & 7) != 0 || request.Length != 8) return Errno.EINVAL;
        string name = Whole(VolumeName.Parse(request.Target));
        for (int tries = 0; ; tries++)
        {
            var volume = await _volumes.ResumeAsync(name, request.Flow, request.Issuer);
            var (status, entry) = await _volumes.TakeAsync(volume, request.Offset / 8, (request.Flags & RequestFlags.Force) != 0);
            // A change whose outcome is not known has unloaded it.
            if (status == Errno.EAGAIN && tries < 10) continue;
            if (status == 0) BinaryPrimitives.WriteUInt64LittleEndian(request.Result, entry.Value);
            return status;
        }
    }

    /// <summary>The names of the volumes, sorted, one per line.</summary>
    private async ValueTask<int> ReadListAsync(Request request)
    {
        var list = Encoding.ASCII.GetBytes(string.Concat((await _volumes.Catalogue.ReadAsync())
            .Where(entry => entry.Record.State == Format.RecordState.Live).Select(entry => entry.Record.Name).Order(StringComparer.Ordinal).Select(name => name + "\n")));
        if (request.Op == XsegOp.Read) return await _reader.AnswerListAsync(request, list);
        request.Serviced = (ulong)list.Length;
        return 0;
    }

    private static string Whole(VolumeName name) =>
        name.Snapshot == null ? name.Volume : throw new ErrnoException(Errno.EINVAL, $"{name} is a snapshot; this is done with volumes");

    private async void RenewInBackground()
    {
        while (!_volumes.IsStopping)
        {
            await Context.Reactor.Delay(_options.Lease / 3);
            try
            {
                await _volumes.RenewAsync();
            }
            catch (ErrnoException failed)
            {
                // What is cached of a lost volume could not be dropped: the next time finds it lost again.
                Context.Log.LogWarning("{Error}", failed.Message);
            }
        }
    }
}
