using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Vlmcd.Maps;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>
/// Opens and closes volumes, and brings their I/O to rest for what changes them. What a volume is, mapperd knows. Each works under the volume's gate.
/// Failures are <see cref="ErrnoException"/>s that say what and where. One reactor.
/// </summary>
internal sealed partial class VolumeService
{
    private readonly PeerContext _context;
    private readonly Route _mapRoute;
    private readonly ObjectIo _data;
    private readonly MapClient _maps;
    private readonly Func<Volume, OpenAnswer, IObjectMap>? _makeMap;

    internal VolumeService(PeerContext context, Route blocks, Route maps, VlmcdStatistics statistics, Func<Volume, OpenAnswer, IObjectMap>? makeMap)
    {
        (_context, _mapRoute, _makeMap) = (context, maps, makeMap);
        _data = new ObjectIo(context, blocks, 0);
        _maps = new MapClient(new ObjectIo(context, maps, 0));
        Table = new VolumeTable(context.Reactor, context.Segment, statistics);
    }

    internal VolumeTable Table { get; }
    internal bool IsStopping { get; set; }
    /// <summary>Requests of control under way.</summary>
    internal int InFlight => _data.InFlight + _maps.InFlight;

    /// <summary>Opens for the gateway on port <paramref name="issuer"/>. Whoever reads what is open for writing here reads the same.</summary>
    internal async Task<(Volume Volume, OpenAnswer Answer)> OpenAsync(VolumeName name, bool readOnly, int issuer)
    {
        if (readOnly && name.Snapshot == null && Table.Find(new VolumeKey(name, false)) is { IsLoaded: true }) readOnly = false;
        var volume = await Table.EnterAsync(VolumeKey.Of(name, readOnly));
        try
        {
            bool first = volume.Openers.Total == 0;
            await LoadAsync(volume);
            // A new user has not shown yet that it flushes; one beside it has no say in that.
            if (first) ResetFlushed(volume.Flow);
            volume.Openers.Add(issuer);
            return (volume, new OpenAnswer(volume.Size, (int)volume.ObjectSize, volume.Flow, 0));
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>
    /// Loads a volume for a data request of <paramref name="flow"/>: its gateway had opened it before this process, a successor, began.
    /// Waits while the volume is held.
    /// </summary>
    internal async ValueTask ResumeAsync(VolumeName name, uint flow, int issuer)
    {
        if (flow == 0 || !VolumeKey.TryParse(FlowTable.NameOf(_context.Segment, flow), out var key) || key.Name != name)
            throw new ErrnoException(Errno.EINVAL, $"volume {name}: the request's flow {flow} is not the volume's; OPEN it first");
        var volume = await Table.EnterAsync(key);
        try
        {
            await LoadAsync(volume);
            if (volume.Flow != flow) throw new ErrnoException(Errno.EINVAL, $"volume {name}: the request's flow {flow} is not the volume's, {volume.Flow}; OPEN it first");
            volume.Openers.Seen(issuer);
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Ends an OPEN. The last one waits for what is under way, makes all that was answered stable, and gives the volume back.</summary>
    internal async Task CloseAsync(VolumeName name, bool readOnly, int issuer)
    {
        if (readOnly && name.Snapshot == null && Table.Find(new VolumeKey(name, true)) is null) readOnly = false;
        var volume = await Table.EnterAsync(VolumeKey.Of(name, readOnly));
        try
        {
            // After a restart of vlmcd the volume may not be loaded: what was written is flushed all the same.
            await LoadAsync(volume);
            volume.Openers.Remove(issuer);
            if (volume.Openers.Total > 0) return;
            await volume.HoldAsync();
            try
            {
                if (await _data.FlushAsync(volume.Flow) is var status and not 0)
                    throw new ErrnoException(status, $"volume {volume.Name}: not closed, the flush failed: {Errno.Describe(status)}");
                await _maps.RunAsync(XsegOp.Close, name, NewIdentity(), flags: volume.IsReadOnly ? RequestFlags.ReadOnly : RequestFlags.None);
                Table.Unload(volume);
            }
            finally
            {
                volume.Release();
            }
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Ends an OPEN of this peer itself, for an operator; or what nobody uses any more and a peer that died has left open.</summary>
    /// <exception cref="ErrnoException">EBUSY: gateways have it open. EINVAL: nobody has.</exception>
    internal async Task CloseOwnAsync(VolumeName name, int port)
    {
        Volume?[] both = [Table.Find(VolumeKey.Of(name, false)), Table.Find(VolumeKey.Of(name, true))];
        Volume[] found = [.. both.OfType<Volume>().Distinct()];
        var volume = Array.Find(found, v => v.Openers.Of(port) > 0) ?? Array.Find(found, v => v.IsLoaded && v.Openers.Total == 0);
        if (volume != null) await CloseAsync(name, volume.IsReadOnly, port);
        else if (found.Sum(v => v.Openers.Total) is var openers and > 0)
            throw new ErrnoException(Errno.EBUSY, $"{name} is open for {openers} {(openers == 1 ? "client" : "clients")} of gateways and not by `volume open`; it is closed when they go");
        else if (name.Snapshot != null) throw new ErrnoException(Errno.EINVAL, $"{name} is not open here");
        else await _maps.RunAsync(XsegOp.Close, name, NewIdentity());
    }

    /// <summary>What was answered to users of the volume is stable when this is done.</summary>
    internal ValueTask<int> FlushAsync(Volume volume) => _data.FlushAsync(volume.Flow);

    /// <summary>Names a request that has no slot to be named by.</summary>
    internal UInt128 NewIdentity() => new(_context.Reactor.Random.NextUInt64() | 1, _context.Reactor.Random.NextUInt64());

    private async ValueTask LoadAsync(Volume volume)
    {
        if (volume.IsLoaded) return;
        var answer = await _maps.RunAsync(XsegOp.Open, volume.Key.Name, NewIdentity(), flags: volume.IsReadOnly ? RequestFlags.ReadOnly : RequestFlags.None);
        if (answer.Flow == 0 || answer.Flow >= _context.Segment.FlowCount || !System.Numerics.BitOperations.IsPow2(answer.ObjectSize) || answer.ObjectSize > 4 << 20)
            throw new ErrnoException(Errno.EBADMSG, $"volume {volume.Name}: mapperd's answer makes no sense (flow {answer.Flow}, objects of {answer.ObjectSize}); is it of the same build?");
        volume.Load(answer, _makeMap?.Invoke(volume, answer) ?? new ChunkMap(new ObjectIo(_context, _mapRoute, answer.Flow), volume.NameBytes, volume.IsReadOnly));
        Table.Publish(volume);
    }

    private unsafe void ResetFlushed(uint flow) => Shared.Store(ref _context.Segment.FlowAt(flow)->HasFlushed, (byte)0);
}
