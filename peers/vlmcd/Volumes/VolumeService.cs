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
    /// <summary>Of a few seconds each.</summary>
    private const int MostTakeOvers = 10;

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
        Table = new VolumeTable(context.Reactor, context.Segment, context.Port.Number, statistics);
    }

    internal VolumeTable Table { get; }
    internal bool IsStopping { get; set; }
    /// <summary>Requests of control under way.</summary>
    internal int InFlight => _data.InFlight + _maps.InFlight;

    /// <summary>Opens for the gateway on port <paramref name="issuer"/>. Whoever reads what is open for writing here reads the same.</summary>
    /// <param name="name">The volume or snapshot.</param>
    /// <param name="readOnly">Not for writing.</param>
    /// <param name="standby">Where another host has the volume, open it all the same: its lock is taken with the first change (live migration).</param>
    /// <param name="issuer">Port of the gateway.</param>
    internal async Task<(Volume Volume, OpenAnswer Answer)> OpenAsync(VolumeName name, bool readOnly, bool standby, int issuer)
    {
        if (readOnly && name.Snapshot == null && Table.Find(new VolumeKey(name, false)) is { IsLoaded: true } own && !IsLost(own.Flow)) readOnly = false;
        var volume = await Table.EnterAsync(VolumeKey.Of(name, readOnly));
        try
        {
            bool first = volume.Openers.Total == 0;
            if (volume is { IsLoaded: true, IsReadOnly: false } && IsLost(volume.Flow)) await EndLossAsync(volume, first);
            // An operator who means it says so; a gateway of this host is what it stands by for.
            if (volume.IsStandby && !standby && issuer == _context.Port.Number) throw StandsBy(volume);
            await LoadAsync(volume, standby);
            // A new user has not shown yet that it flushes; one beside it has no say in that.
            if (first) ResetFlushed(volume.Flow);
            volume.Openers.Add(issuer);
            FlowUse.Join(_context.Segment, volume.Flow, issuer);
            return (volume, new OpenAnswer(volume.Size, (int)volume.ObjectSize, volume.Flow, 0));
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Another host has taken the volume: who has it open here cannot write to it any more, and nobody opens it beside him.</summary>
    private async ValueTask EndLossAsync(Volume volume, bool isUnused)
    {
        if (!isUnused)
            throw new ErrnoException(Errno.ESTALE, $"volume {volume.Name}: another host has taken it from those who have it open here; end them (`archipelago volume close {volume.Name}`), then open it again");
        try
        {
            await EndAsync(volume);
        }
        catch (ErrnoException told) when (told.Errno == Errno.ESTALE)
        {
            // That is what is known already.
        }
    }

    private static ErrnoException StandsBy(Volume volume) => new(
        Errno.EBUSY, $"volume {volume.Name} is open on another host, and stands by here: do it there, or end that host's users first");

    private bool IsLost(uint flow) => FlowTable.IsLost(_context.Segment, flow);

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
            // Who had it when it was lost must open it anew, also when this process has forgotten it since.
            if (!volume.IsLoaded && !key.IsReadOnly && IsLost(flow))
                throw new ErrnoException(Errno.ESTALE, $"volume {name}: another host has taken it over while it was open here; close it and open it again");
            await LoadAsync(volume, standby: !key.IsReadOnly && StoodBy(flow));
            if (volume.Flow != flow) throw new ErrnoException(Errno.EINVAL, $"volume {name}: the request's flow {flow} is not the volume's, {volume.Flow}; OPEN it first");
            volume.Openers.Seen(issuer);
            FlowUse.Join(_context.Segment, flow, issuer);
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Ends an OPEN. The last one waits for what is under way, makes all that was answered stable, and gives the volume back.</summary>
    internal async Task CloseAsync(VolumeName name, bool readOnly, uint flow, int issuer)
    {
        // The flow tells what the OPEN found: beside who writes here, one for reading is of the same.
        if (flow == 0 || !VolumeKey.TryParse(FlowTable.NameOf(_context.Segment, flow), out var key) || key.Name != name)
            key = VolumeKey.Of(name, readOnly && (name.Snapshot != null || Table.Find(new VolumeKey(name, true)) is not null));
        var volume = await Table.EnterAsync(key);
        try
        {
            // After a restart of vlmcd the volume may not be loaded: what was written is flushed all the same, unless it was lost.
            flow = FlowTable.Find(_context.Segment, volume.NameBytes);
            bool wasLost = !volume.IsLoaded && !key.IsReadOnly && IsLost(flow);
            if (!wasLost) await LoadAsync(volume);
            volume.Openers.Remove(issuer);
            // What this peer itself has open it leaves with the volume.
            if (volume.Openers.Of(issuer) == 0 && issuer != _context.Port.Number) FlowUse.Leave(_context.Segment, wasLost ? flow : volume.Flow, issuer);
            if (volume.Openers.Total > 0) return;
            if (!wasLost) await EndAsync(volume);
            // The last of those who had it then: from here on it may be opened anew.
            else if (!FlowUse.HasOthers(_context.Segment, flow, _context.Port.Number)) await _maps.RunAsync(XsegOp.Close, name, NewIdentity());
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Ends an OPEN of this peer itself, for an operator; or what nobody uses any more and a peer that died has left open. Tells which it was.</summary>
    /// <exception cref="ErrnoException">EBUSY: gateways have it open. EINVAL: nobody has. ENOENT: there is none. ESTALE: another host has taken it.</exception>
    internal async Task<VolumeKey> CloseOwnAsync(VolumeName name, int port)
    {
        Volume?[] both = [Table.Find(VolumeKey.Of(name, false)), Table.Find(VolumeKey.Of(name, true))];
        Volume[] found = [.. both.OfType<Volume>().Distinct()];
        var volume = Array.Find(found, v => v.Openers.Of(port) > 0) ?? Array.Find(found, v => v.IsLoaded && v.Openers.Total == 0);
        if (volume != null) await CloseOrLoseAsync(volume, port);
        else if (found.Sum(v => v.Openers.Total) is var openers and > 0)
            throw new ErrnoException(Errno.EBUSY, $"{name} is open for {openers} {(openers == 1 ? "client" : "clients")} of gateways and not by `volume open`; it is closed when they go");
        else if (name.Snapshot != null) throw new ErrnoException(Errno.EINVAL, $"{name} is not open here");
        else await CloseLostAsync(name);
        return volume?.Key ?? VolumeKey.Of(name, false);
    }

    /// <summary>Of what is not loaded here: what a predecessor had open, or that it was lost since.</summary>
    private async ValueTask CloseLostAsync(VolumeName name)
    {
        bool wasLost = IsLost(FlowTable.Find(_context.Segment, Encoding.ASCII.GetBytes(name.Volume)));
        try
        {
            await _maps.RunAsync(XsegOp.Close, name, NewIdentity());
        }
        catch (ErrnoException lost) when (lost.Errno == Errno.ESTALE && wasLost)
        {
            _context.Log.LogWarning("volume {Volume}: it was lost to another host, and is closed here now", name);
        }
    }

    /// <summary>Who has lost a volume to another host was told so by each change and flush since: closing it is all that is left.</summary>
    private async ValueTask CloseOrLoseAsync(Volume volume, int port)
    {
        try
        {
            await CloseAsync(volume.Key.Name, volume.IsReadOnly, volume.Flow, port);
        }
        catch (ErrnoException lost) when (lost.Errno == Errno.ESTALE && !volume.IsLoaded)
        {
            _context.Log.LogWarning("{Loss}; it was lost, and is closed here all the same", lost.Message);
        }
    }

    /// <summary>Size of a volume or snapshot. Who only reads a volume that another host changes learns of its new size, and map, by this.</summary>
    internal async Task<OpenAnswer> InfoAsync(VolumeName name, UInt128 identity)
    {
        var answer = await PassAsync(XsegOp.Info, name, identity);
        if (name.Snapshot == null && Table.Find(new VolumeKey(name, true)) is { IsLoaded: true } readers && readers.Size != answer.Size) await ForgetAsync(readers);
        return answer;
    }

    /// <summary>The next request of those who only read it finds it as it is now.</summary>
    internal async ValueTask ForgetAsync(Volume readers)
    {
        readers = await Table.EnterAsync(readers.Key);
        try
        {
            if (!readers.IsLoaded) return;
            await readers.HoldAsync();
            Table.Unload(readers);
        }
        finally
        {
            readers.Release();
            Table.Leave(readers);
        }
    }

    /// <summary>Under the gate: waits for what is under way, then gives the volume back. If that fails it stays open.</summary>
    private async ValueTask EndAsync(Volume volume)
    {
        await volume.HoldAsync();
        try
        {
            await GiveBackAsync(volume);
        }
        finally
        {
            volume.Release();
        }
    }

    /// <summary>Under the gate, held: mapperd makes it stable and gives its lock back. ESTALE: another host has it; it is closed here all the same.</summary>
    private async ValueTask GiveBackAsync(Volume volume)
    {
        try
        {
            await _maps.RunAsync(XsegOp.Close, volume.Key.Name, NewIdentity(), flags: volume.IsReadOnly || volume.IsStandby ? RequestFlags.ReadOnly : RequestFlags.None);
            Table.Unload(volume);
        }
        catch (ErrnoException lost) when (lost.Errno == Errno.ESTALE)
        {
            Table.Unload(volume);
            throw;
        }
    }

    /// <summary>What was answered to users of the volume is stable when this is done.</summary>
    internal ValueTask<int> FlushAsync(Volume volume) => _data.FlushAsync(volume.Flow);

    /// <summary>Names a request that has no slot to be named by.</summary>
    internal UInt128 NewIdentity() => new(_context.Reactor.Random.NextUInt64() | 1, _context.Reactor.Random.NextUInt64());

    /// <summary>
    /// Takes a volume that stands by over from the host that had it, which must have given it up: waits a while for that. Without
    /// <paramref name="waits"/> it goes on standing by then, with a map that is no older than <paramref name="maxAge"/>.
    /// </summary>
    internal async ValueTask TakeOverAsync(VolumeName name, bool waits, long maxAge)
    {
        var volume = await Table.EnterAsync(new VolumeKey(name, false));
        try
        {
            if (!volume.IsStandby) return;
            await volume.HoldAsync();
            try
            {
                for (int tries = 0; ; tries++)
                {
                    try
                    {
                        Load(volume, await _maps.RunAsync(XsegOp.Open, name, NewIdentity(), flags: waits ? RequestFlags.None : RequestFlags.NoSync), standby: false);
                        return;
                    }
                    catch (ErrnoException busy) when (busy.Errno == Errno.EBUSY && !waits)
                    {
                        if (_context.Reactor.Now - volume.LoadedAt > maxAge) await StandByAsync(volume);
                        return;
                    }
                    catch (ErrnoException busy) when (busy.Errno == Errno.EBUSY && tries < MostTakeOvers && !IsStopping)
                    {
                        // mapperd has waited some seconds for it.
                    }
                }
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

    private async ValueTask LoadAsync(Volume volume, bool standby = false)
    {
        if (volume.IsLoaded) return;
        var flags = volume.IsReadOnly ? RequestFlags.ReadOnly : RequestFlags.None;
        try
        {
            Load(volume, await OpenAtMapsAsync(volume.Key.Name, flags), standby: false);
        }
        catch (ErrnoException busy) when (standby && busy.Errno == Errno.EBUSY)
        {
            await StandByAsync(volume);
        }
    }

    private async ValueTask<OpenAnswer> OpenAtMapsAsync(VolumeName name, RequestFlags flags)
    {
        try
        {
            return await _maps.RunAsync(XsegOp.Open, name, NewIdentity(), flags: flags);
        }
        catch (ErrnoException full) when (full.Errno == Errno.ENOSPC && Table.All.Any(IsLeftByReaders))
        {
            // The flows of what only the dead have read.
            foreach (var left in Table.All.Where(IsLeftByReaders).ToArray()) await GiveUpAsync(left);
            return await _maps.RunAsync(XsegOp.Open, name, NewIdentity(), flags: flags);
        }
    }

    private static bool IsLeftByReaders(Volume volume) => volume is { IsLoaded: true, IsReadOnly: true, Users: 0 } && volume.Openers.Total == 0;

    private async ValueTask GiveUpAsync(Volume left)
    {
        var volume = await Table.EnterAsync(left.Key);
        try
        {
            if (!volume.IsLoaded || volume.Openers.Total > 0) return;
            await EndAsync(volume);
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    private async ValueTask StandByAsync(Volume volume) =>
        Load(volume, await _maps.RunAsync(XsegOp.Open, volume.Key.Name, NewIdentity(), flags: RequestFlags.ReadOnly | RequestFlags.NoSync), standby: true);

    /// <summary>A predecessor had the volume stand by: nothing of it is cached, and not for having lost it.</summary>
    private unsafe bool StoodBy(uint flow) => _context.Segment.FlowAt(flow) is var entry && entry != null && entry->Uncached != 0 && !IsLost(flow);

    private void Load(Volume volume, OpenAnswer answer, bool standby)
    {
        if (answer.Flow == 0 || answer.Flow >= _context.Segment.FlowCount || !System.Numerics.BitOperations.IsPow2(answer.ObjectSize) || answer.ObjectSize > 4 << 20)
            throw new ErrnoException(Errno.EBADMSG, $"volume {volume.Name}: mapperd's answer makes no sense (flow {answer.Flow}, objects of {answer.ObjectSize}); is it of the same build?");
        volume.Load(answer, _makeMap?.Invoke(volume, answer) ?? new ChunkMap(new ObjectIo(_context, _mapRoute, answer.Flow), volume.NameBytes, volume.IsReadOnly || standby));
        volume.IsStandby = standby;
        Table.Publish(volume);
    }

    private unsafe void ResetFlushed(uint flow) => Shared.Store(ref _context.Segment.FlowAt(flow)->HasFlushed, (byte)0);
}
