using Archipelago.Runtime;
using Archipelago.Vlmcd.Format;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>Creation: record "creating", header (the commit point), record "live".</summary>
internal sealed partial class VolumeService
{
    /// <summary>
    /// Creates a volume. <paramref name="identity"/> names the request, so that its replay (<paramref name="isReplay"/>) after a crash is
    /// answered as the request would have been.
    /// </summary>
    internal async Task<VolumeHeader> CreateAsync(string name, ulong size, int objectSize, UInt128 identity, bool isReplay)
    {
        if (!VlmcdOptions.IsObjectSize(objectSize)) throw new ErrnoException(Errno.EINVAL, $"volume {name}: object size {objectSize}: expected a power of two from 4096 to 4194304");
        if (VolumeHeader.SizeFault(size, objectSize) is { } fault) throw new ErrnoException(size != 0 && size % 512 == 0 ? Errno.EFBIG : Errno.EINVAL, $"volume {name}: {fault}");
        await EnsureCatalogueAsync();
        var volume = await Table.EnterAsync(name);
        try
        {
            var found = volume.Header ?? await ReadHeaderAsync(volume);
            if (found != null && Catalogue.IsDeleting(found.Id))
            {
                // The deleted volume of this name: its purge has not come to the header yet.
                await DropHeaderAsync(volume);
                found = null;
            }

            if (found != null)
            {
                await ListAsync(found);
                if (isReplay && found.CreatedBy == identity) return found;
                throw new ErrnoException(Errno.EEXIST, $"volume {name} exists already");
            }

            if (Catalogue.Find(name) is { Record.State: RecordState.Live })
                throw new ErrnoException(Errno.EEXIST, $"volume {name}: the catalogue lists it, but its header, object v.{name}, is missing; delete the volume first");
            return await CreateUnderGateAsync(volume, new VolumeHeader
            {
                Name = name,
                Id = NewId(),
                Size = size,
                TrimEnd = size,
                ObjectSize = objectSize,
                Created = (_context.Reactor.Clock.UtcNow.UtcTicks - DateTime.UnixEpoch.Ticks) * 100,
                CreatedBy = identity,
            });
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    private async ValueTask<VolumeHeader> CreateUnderGateAsync(Volume volume, VolumeHeader header)
    {
        var (status, entry) = await Catalogue.PutAsync(Catalogue.Find(volume.Name), RecordOf(header, RecordState.Creating));
        if (status != 0) throw new ErrnoException(status, $"volume {volume.Name}: not created, the catalogue cannot be written: {Errno.Describe(status)}");
        try
        {
            await WriteHeaderAsync(volume, header);
        }
        catch (ErrnoException)
        {
            // It may be there or not. A record that says "creating" is settled at the next start, or by the next CREATE or OPEN.
            if ((await _io.RunAsync(XsegOp.Delete, _io.Flow, volume.HeaderObject)).Status == 0 && await _io.FlushAsync(_io.Flow) == 0)
                await Catalogue.PutAsync(entry, CatalogueRecord.Free);
            throw;
        }

        (status, _) = await Catalogue.PutAsync(entry, RecordOf(header, RecordState.Live));
        if (status != 0) _context.Log.LogWarning("volume {Volume}: created, but its record in the catalogue cannot be written: {Error}", volume.Name, Errno.Describe(status));
        return header;
    }

    /// <summary>What a crash left as "creating": a volume if its header is there, else nothing.</summary>
    private async ValueTask<int> SettleCreationsAsync()
    {
        foreach (var entry in Catalogue.Creating.ToArray())
        {
            var volume = new Volume(entry.Record.Name, _context.Reactor, _context.Segment);
            VolumeHeader? header;
            try
            {
                header = await ReadHeaderAsync(volume);
            }
            catch (ErrnoException bad) when (bad.Errno is Errno.EPROTO)
            {
                continue;
            }
            catch (ErrnoException unread)
            {
                return unread.Errno;
            }

            bool exists = header != null && !Catalogue.IsDeleting(header.Id);
            var (status, _) = await Catalogue.PutAsync(entry, exists ? RecordOf(header!, RecordState.Live) : CatalogueRecord.Free);
            if (status != 0) return status;
            _context.Log.LogInformation("volume {Volume}: its creation was cut off {Outcome}", entry.Record.Name, exists ? "after its commit: it exists" : "before its commit: it does not exist");
        }

        return 0;
    }

    private async ValueTask DropHeaderAsync(Volume volume)
    {
        var (status, _) = await _io.RunAsync(XsegOp.Delete, _io.Flow, volume.HeaderObject);
        if (status == 0) status = await _io.FlushAsync(_io.Flow);
        if (status != 0) throw new ErrnoException(status, $"object v.{volume.Name} cannot be deleted: {Errno.Describe(status)}");
    }
}
