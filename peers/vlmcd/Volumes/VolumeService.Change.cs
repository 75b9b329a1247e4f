using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>What changes a volume, as a whole: I/O comes to rest where it must, mapperd does it, I/O goes on with what it answers.</summary>
internal sealed partial class VolumeService
{
    /// <summary>What concerns no volume that is open: passed on as it is.</summary>
    internal ValueTask<OpenAnswer> PassAsync(
        XsegOp op, VolumeName name, UInt128 identity, string? source = null, ulong offset = 0, ulong length = 0, RequestFlags flags = RequestFlags.None, Memory<byte> result = default) =>
        _maps.RunAsync(op, name, identity, source, offset, length, flags, result);

    /// <summary>A request with data, passed on with its pages.</summary>
    internal ValueTask<OpenAnswer> PassAsync(Xseg.Ports.Request request, VolumeName name, UInt128 identity) => _maps.PassAsync(request, name, identity);

    /// <summary>A snapshot of the volume: it holds what was answered before, and nothing that comes later.</summary>
    internal async Task<OpenAnswer> SnapshotAsync(VolumeName name, string snapshot, UInt128 identity)
    {
        var volume = await Table.EnterAsync(new VolumeKey(name, false));
        try
        {
            await ForgetUnusedLossAsync(volume);
            // Most of it goes while I/O goes on: the pause is short.
            if (volume.IsLoaded) await FlushOrThrowAsync(volume, "no snapshot was made");
            return await HeldAsync(volume, isKnown: true, async () =>
            {
                if (volume.IsLoaded) await FlushOrThrowAsync(volume, "no snapshot was made");
                return await _maps.RunAsync(XsegOp.Snapshot, name, identity, snapshot);
            });
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Another size. A larger one holds nothing up.</summary>
    internal async Task<OpenAnswer> ResizeAsync(VolumeName name, ulong size, UInt128 identity)
    {
        var volume = await Table.EnterAsync(new VolumeKey(name, false));
        try
        {
            await ForgetUnusedLossAsync(volume);
            if (volume.IsLoaded && size >= volume.Size)
            {
                var grown = await _maps.RunAsync(XsegOp.Truncate, name, identity, length: size);
                volume.Update(grown, isKnown: true);
                return grown;
            }

            return await HeldAsync(volume, isKnown: false, async () =>
            {
                // What was cut off must not be destaged behind the new end.
                if (volume.IsLoaded) await FlushOrThrowAsync(volume, "it was not made smaller");
                return await _maps.RunAsync(XsegOp.Truncate, name, identity, length: size);
            });
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Deletion, rollback, another name: only of what nobody has open here.</summary>
    internal async Task<OpenAnswer> ChangeClosedAsync(XsegOp op, VolumeName name, UInt128 identity, string? source = null, RequestFlags flags = RequestFlags.None)
    {
        var volume = await Table.EnterAsync(VolumeKey.Of(name, false));
        try
        {
            if (volume.Openers.Total + ReadersOf(op, name) is var openers and > 0) throw new ErrnoException(Errno.EBUSY, $"{(name.Snapshot == null ? "volume" : "snapshot")} {name} is open ({openers} {(openers == 1 ? "opener" : "openers")} on this host); close it first: end its clients, and by `archipelago volume close {name}` what `volume open` has begun");
            await ForgetUnusedLossAsync(volume);
            await volume.HoldAsync();
            try
            {
                if (!await EndForNobodyAsync(volume, op)) flags |= RequestFlags.NoSync;
                var answer = await _maps.RunAsync(op, name, identity, source, flags: flags);
                if (volume.IsLoaded) Table.Unload(volume);
                return answer;
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

    /// <summary>
    /// Under the gate, held: gives back what is open for nobody, as its gateways died with it open, or its last close failed. False if it cannot be made stable, which
    /// does not keep it from being deleted: on a store that is full that may be what frees it.
    /// </summary>
    private async ValueTask<bool> EndForNobodyAsync(Volume volume, XsegOp op)
    {
        bool isDeletion = op == XsegOp.Delete && volume.Key.Name.Snapshot == null;
        try
        {
            if (volume.IsLoaded) await GiveBackAsync(volume);
            else if (isDeletion && IsLeft(FlowTable.Find(_context.Segment, volume.NameBytes))) await _maps.RunAsync(XsegOp.Close, volume.Key.Name, NewIdentity());
            return true;
        }
        catch (ErrnoException failed) when (isDeletion && failed.Errno != Errno.ESTALE)
        {
            _context.Log.LogInformation("{Error}; it is about to be deleted all the same", failed.Message);
            return false;
        }
    }

    /// <summary>Those who only read the volume, and, where it loses its name, its snapshots.</summary>
    private int ReadersOf(XsegOp op, VolumeName name) => name.Snapshot != null ? 0
        : Table.All.Where(other => other.IsReadOnly && other.Key.Name.Volume == name.Volume && (other.Key.Name.Snapshot == null || op is XsegOp.Delete or XsegOp.Rename))
            .Sum(other => other.Openers.Total);

    /// <summary>Clones that are being made independent: as often as they are.</summary>
    private readonly List<VolumeName> _flattening = [];

    /// <summary>Ends the flattening of a clone: what was copied stays, and who has asked for it is told ECANCELED.</summary>
    internal async ValueTask EndFlattenAsync(VolumeName name)
    {
        if (_flattening.Contains(name)) await _maps.RunAsync(XsegOp.Flatten, name, NewIdentity(), flags: RequestFlags.Force);
    }

    /// <summary>The same of all: each may take hours.</summary>
    internal async ValueTask EndFlattensAsync()
    {
        foreach (var name in _flattening.Distinct().ToArray()) await EndFlattenAsync(name);
    }

    /// <summary>Independence of a clone. I/O goes on; at the end the map is read anew, for the objects that it shared may be deleted then.</summary>
    internal async Task<OpenAnswer> FlattenAsync(VolumeName name, UInt128 identity)
    {
        OpenAnswer answer;
        _flattening.Add(name);
        try
        {
            answer = await _maps.RunAsync(XsegOp.Flatten, name, identity);
        }
        finally
        {
            _flattening.Remove(name);
        }

        var volume = await Table.EnterAsync(new VolumeKey(name, false));
        try
        {
            // What stands by confirms by itself what it misses.
            return volume is { IsLoaded: true, IsStandby: false } ? await HeldAsync(volume, isKnown: false, () => _maps.RunAsync(XsegOp.Open, name, NewIdentity()).AsTask()) : answer;
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Under the gate. After a failure nobody knows what the volume is: it is opened again by the next request.</summary>
    private async ValueTask<OpenAnswer> HeldAsync(Volume volume, bool isKnown, Func<Task<OpenAnswer>> change)
    {
        if (volume.IsStandby) throw StandsBy(volume);
        await volume.HoldAsync();
        bool isDone = false;
        try
        {
            var answer = await change();
            if (volume.IsLoaded) volume.Update(answer, isKnown);
            isDone = true;
            return answer;
        }
        finally
        {
            if (!isDone && volume.IsLoaded) Table.Unload(volume);
            volume.Release();
        }
    }

    private async ValueTask FlushOrThrowAsync(Volume volume, string so)
    {
        if (await _data.FlushAsync(volume.Flow) is var status and not 0)
            throw new ErrnoException(status, $"volume {volume.Name}: {so}, the flush failed: {Errno.Describe(status)}");
    }
}
