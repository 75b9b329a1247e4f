using System.Buffers.Binary;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Vlmcd.Format;
using Archipelago.Vlmcd.Maps;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>
/// Loads, creates, opens, closes, resizes and deletes volumes. Each works under the volume's gate; the order of its writes, and what a
/// crash between them leaves, is in README.md. Failures are <see cref="ErrnoException"/>s that say what and where. One reactor.
/// </summary>
internal sealed partial class VolumeService
{
    private readonly PeerContext _context;
    private readonly VlmcdOptions _options;
    private readonly ObjectIo _io;
    private readonly Func<VolumeHeader, IObjectMap> _maps;
    private Task<int>? _loading;
    private bool _loaded;

    internal VolumeService(PeerContext context, Route blocks, VlmcdOptions options, Func<VolumeHeader, IObjectMap> maps, VlmcdStatistics statistics)
    {
        (_context, _options, _maps) = (context, options, maps);
        _io = new ObjectIo(context, blocks, FlowTable.FindOrAdd(context.Segment, "vlmcd"u8, space: 1));
        Table = new VolumeTable(context.Reactor, context.Segment, statistics);
        Catalogue = new Catalogue(context, _io);
    }

    internal VolumeTable Table { get; }
    internal Catalogue Catalogue { get; }
    /// <summary>Background work stops at the next object.</summary>
    internal bool IsStopping { get; set; }
    /// <summary>Requests of control and background work under way.</summary>
    internal int InFlight => _io.InFlight;
    /// <summary>Flow of headers and of the catalogue.</summary>
    internal uint MetadataFlow => _io.Flow;
    /// <summary>Headers that could not be read, by volume, with the reason.</summary>
    internal Dictionary<string, string> BadHeaders { get; } = new(StringComparer.Ordinal);

    /// <summary>The catalogue is in memory when this is done.</summary>
    internal async ValueTask EnsureCatalogueAsync()
    {
        if (_loaded) return;
        if (_loading is not { IsCompleted: false }) _loading = LoadCatalogueAsync();
        int status = await _loading;
        if (status != 0) throw new ErrnoException(status, $"the catalogue of volumes (objects c.0000, ...) cannot be read: {Errno.Describe(status)}");
    }

    /// <summary>Size, object size and so on of a volume, open or not.</summary>
    internal async Task<VolumeHeader> InfoAsync(string name)
    {
        await EnsureCatalogueAsync();
        var volume = await Table.EnterAsync(name);
        try
        {
            return volume.Header ?? await ReadExistingAsync(volume);
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Opens for the gateway on port <paramref name="issuer"/>.</summary>
    internal async Task<(VolumeHeader Header, uint Flow)> OpenAsync(string name, int issuer)
    {
        await EnsureCatalogueAsync();
        var volume = await Table.EnterAsync(name);
        try
        {
            bool first = volume.Openers.Total == 0;
            await LoadAsync(volume);
            // A new user has not shown yet that it flushes; one beside it has no say in that.
            if (first) ResetFlushed(volume.Flow);
            volume.Openers.Add(issuer);
            return (volume.Header!, volume.Flow);
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>
    /// Loads a volume for a data request of <paramref name="flow"/>: its gateway had opened it before this process, a successor, began.
    /// Waits while the volume is held. 0 or an errno.
    /// </summary>
    internal async ValueTask<int> ResumeAsync(string name, uint flow, int issuer)
    {
        await EnsureCatalogueAsync();
        var volume = await Table.EnterAsync(name);
        try
        {
            if (!volume.IsLoaded)
            {
                await ReadExistingAsync(volume);
                if (FlowTable.Find(_context.Segment, volume.NameBytes) != flow || flow == 0)
                    throw new ErrnoException(Errno.EINVAL, $"volume {name}: the request's flow {flow} is not the volume's; OPEN it first");
                await LoadAsync(volume);
            }

            if (volume.Flow != flow) throw new ErrnoException(Errno.EINVAL, $"volume {name}: the request's flow {flow} is not the volume's, {volume.Flow}; OPEN it first");
            volume.Openers.Seen(issuer);
            return 0;
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Ends an OPEN. The last one waits for what is under way and makes all that was answered stable.</summary>
    internal async Task CloseAsync(string name, int issuer)
    {
        await EnsureCatalogueAsync();
        var volume = await Table.EnterAsync(name);
        try
        {
            // After a restart of vlmcd the volume may not be loaded: what was written is flushed all the same.
            await LoadAsync(volume);
            volume.Openers.Remove(issuer);
            if (volume.Openers.Total > 0) return;
            await volume.HoldAsync();
            int status = await _io.FlushAsync(volume.Flow);
            volume.Release();
            if (status != 0) throw new ErrnoException(status, $"volume {name}: not closed, the flush failed: {Errno.Describe(status)}");
            UnloadIfIdle(volume);
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>What was answered to users of the volume is stable when this is done.</summary>
    internal ValueTask<int> FlushAsync(Volume volume) => _io.FlushAsync(volume.Flow);

    private async Task<int> LoadCatalogueAsync()
    {
        int status = await Catalogue.LoadAsync();
        if (status == 0) status = await SettleCreationsAsync();
        if (status != 0)
        {
            _context.Log.LogError("the catalogue cannot be read: {Error}; requests that need it fail until it can", Errno.Describe(status));
            return status;
        }

        _loaded = true;
        foreach (var entry in Catalogue.Deleting.ToArray()) StartPurge(entry);
        return 0;
    }

    /// <summary>The header as it is in the store; ENOENT if the volume does not exist.</summary>
    private async ValueTask<VolumeHeader> ReadExistingAsync(Volume volume)
    {
        var entry = Catalogue.Find(volume.Name);
        if (entry is { IsUnsettled: true } && await Catalogue.SettleAsync(entry) is var status and not 0)
            throw new ErrnoException(status, $"volume {volume.Name}: its record in the catalogue could not be written, and may say that it is deleted: {Errno.Describe(status)}");
        var header = await ReadHeaderAsync(volume);
        if (header == null || Catalogue.IsDeleting(header.Id))
        {
            if (header == null && entry?.Record.State == RecordState.Live)
                throw new ErrnoException(Errno.EIO, $"volume {volume.Name}: the catalogue lists it, but its header, object v.{volume.Name}, is missing; restore that object, or delete the volume");
            throw new ErrnoException(Errno.ENOENT, $"there is no volume {volume.Name}");
        }

        await ListAsync(header);
        return header;
    }

    /// <summary>The header, or null if there is no such object. Throws if it is damaged.</summary>
    private async ValueTask<VolumeHeader?> ReadHeaderAsync(Volume volume)
    {
        var block = new byte[VolumeHeader.Bytes];
        var (status, missing) = await _io.ReadAsync(volume.HeaderObject, 0, block);
        if (status != 0) throw new ErrnoException(status, $"volume {volume.Name}: its header, object v.{volume.Name}, cannot be read: {Errno.Describe(status)}");
        if (missing)
        {
            BadHeaders.Remove(volume.Name);
            return null;
        }

        try
        {
            var header = VolumeHeader.Read(block, volume.Name);
            BadHeaders.Remove(volume.Name);
            return header;
        }
        catch (ErrnoException bad)
        {
            if (BadHeaders.TryAdd(volume.Name, bad.Message)) _context.Log.LogError("{Fault}", bad.Message);
            throw;
        }
    }

    private async ValueTask WriteHeaderAsync(Volume volume, VolumeHeader header)
    {
        var block = new byte[VolumeHeader.Bytes];
        header.Write(block);
        int status = await _io.WriteAsync(volume.HeaderObject, 0, block);
        if (status != 0) throw new ErrnoException(status, $"volume {volume.Name}: its header, object v.{volume.Name}, cannot be written: {Errno.Describe(status)}");
    }

    private async ValueTask LoadAsync(Volume volume)
    {
        if (volume.IsLoaded) return;
        var header = await ReadExistingAsync(volume);
        uint flow;
        try
        {
            flow = FlowTable.FindOrAdd(_context.Segment, volume.NameBytes);
        }
        catch (XsegException full)
        {
            throw new ErrnoException(full.Errno, $"volume {volume.Name}: {full.Message}", full);
        }

        volume.Load(header, flow, _maps(header));
        Table.Publish(volume);
        if (header.TrimEnd > header.Size) StartTrim(volume);
    }

    /// <summary>The header is the authority: lists a volume whose record is missing, and corrects one that is out of date.</summary>
    private async ValueTask ListAsync(VolumeHeader header)
    {
        var entry = Catalogue.Find(header.Name);
        var record = RecordOf(header, RecordState.Live);
        if (entry?.Record == record) return;
        if (entry == null) _context.Log.LogWarning("volume {Volume}: it was not in the catalogue, and is listed again", header.Name);
        var (status, _) = await Catalogue.PutAsync(entry, record);
        if (status != 0) _context.Log.LogWarning("volume {Volume}: its record in the catalogue cannot be written: {Error}", header.Name, Errno.Describe(status));
    }

    private void UnloadIfIdle(Volume volume)
    {
        if (volume.IsLoaded && volume.InFlight == 0 && volume.Header!.TrimEnd == volume.Size && volume.Openers.Total == 0) Table.Unload(volume);
    }

    private unsafe void ResetFlushed(uint flow) => Shared.Store(ref _context.Segment.FlowAt(flow)->HasFlushed, (byte)0);

    private static CatalogueRecord RecordOf(VolumeHeader header, RecordState state) => new()
    {
        State = state,
        Name = header.Name,
        Id = header.Id,
        Size = state == RecordState.Deleting ? header.TrimEnd : header.Size,
        ObjectSize = header.ObjectSize,
        Created = header.Created,
    };

    /// <summary>
    /// An id that no other volume of the store has: the reactor's random numbers alone may repeat on another host, so the segment's
    /// identity and the time go in.
    /// </summary>
    private ulong NewId()
    {
        Span<byte> seed = stackalloc byte[32];
        while (true)
        {
            BinaryPrimitives.WriteUInt128LittleEndian(seed, _context.Segment.CreationId);
            BinaryPrimitives.WriteInt64LittleEndian(seed[16..], _context.Reactor.Clock.UtcNow.UtcTicks);
            BinaryPrimitives.WriteUInt64LittleEndian(seed[24..], _context.Reactor.Random.NextUInt64());
            ulong id = Hash128.Of(seed).Low;
            if (id != 0 && !Catalogue.KnowsId(id)) return id;
        }
    }
}
