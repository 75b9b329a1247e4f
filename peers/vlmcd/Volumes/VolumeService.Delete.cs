using Archipelago.Runtime;
using Archipelago.Vlmcd.Format;
using Archipelago.Vlmcd.Maps;
using Archipelago.Xseg;
using Archipelago.Xseg.Tables;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>Deletion: record "deleting" (the commit point), header, objects in the background, record free.</summary>
internal sealed partial class VolumeService
{
    internal static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LastRetry = TimeSpan.FromMinutes(1);

    /// <summary>Objects that background work deletes at once.</summary>
    private const int PacedDeletes = 2;

    /// <summary>Deletions that go on in the background.</summary>
    internal int Purges { get; private set; }

    /// <summary>
    /// Deletes a volume. It is gone when this is done, and its name may be used again; its objects go in the background. With
    /// <paramref name="force"/> also one whose header cannot be read.
    /// </summary>
    internal async Task DeleteAsync(string name, bool force, bool isReplay)
    {
        await EnsureCatalogueAsync();
        var volume = await Table.EnterAsync(name);
        try
        {
            var record = await FindToDeleteAsync(volume, force, isReplay);
            if (record == null) return;
            await volume.HoldAsync();
            var entry = await MarkDeletingAsync(volume, record);
            if (volume.IsLoaded) Table.Unload(volume);
            BadHeaders.Remove(name);
            try
            {
                await DropHeaderAsync(volume);
            }
            catch (ErrnoException later)
            {
                _context.Log.LogWarning("volume {Volume}: deleted; the clean-up will be tried again: {Error}", name, later.Message);
            }

            StartPurge(entry);
        }
        finally
        {
            volume.StopTrim = false;
            volume.Release();
            Table.Leave(volume);
        }
    }

    private async ValueTask<CatalogueRecord?> FindToDeleteAsync(Volume volume, bool force, bool isReplay)
    {
        if (volume.Openers.Total is var openers and > 0) throw new ErrnoException(Errno.EBUSY, $"volume {volume.Name} is open ({openers} times); close it first");
        await StopTrimAsync(volume);
        var entry = Catalogue.Find(volume.Name);
        VolumeHeader? header;
        try
        {
            header = volume.Header ?? await ReadHeaderAsync(volume);
        }
        catch (ErrnoException bad) when (force && bad.Errno is Errno.EIO or Errno.EPROTO)
        {
            if (entry != null) return entry.Record with { State = RecordState.Deleting };
            await DropHeaderAsync(volume);
            BadHeaders.Remove(volume.Name);
            return null;
        }

        if (header != null && !Catalogue.IsDeleting(header.Id)) return RecordOf(header, RecordState.Deleting);
        // Listed, but the header is lost: the record knows what to delete.
        if (header == null && entry?.Record.State == RecordState.Live) return entry.Record with { State = RecordState.Deleting };
        // The replay of a request that was carried out before its holder died finds nothing any more.
        if (isReplay) return null;
        throw new ErrnoException(Errno.ENOENT, $"there is no volume {volume.Name}");
    }

    private async ValueTask<Catalogue.Entry> MarkDeletingAsync(Volume volume, CatalogueRecord record)
    {
        var (status, entry) = await Catalogue.PutAsync(Catalogue.Find(volume.Name), record);
        if (status == 0) return entry;
        // The store may hold "deleting". Nobody may write to a volume that the next start would delete: the record is put right
        // before the volume is used again.
        if (volume.IsLoaded) Table.Unload(volume);
        throw new ErrnoException(status, $"volume {volume.Name}: not deleted, the catalogue cannot be written: {Errno.Describe(status)}");
    }

    /// <summary>The wait after one of <paramref name="delay"/> that helped nothing.</summary>
    internal static TimeSpan NextRetry(TimeSpan delay) => delay * 2 < LastRetry ? delay * 2 : LastRetry;

    private void StartPurge(Catalogue.Entry entry)
    {
        Purges++;
        _ = PurgeLoopAsync(entry);
    }

    private async Task PurgeLoopAsync(Catalogue.Entry entry)
    {
        var record = entry.Record;
        for (var delay = FirstRetry; !IsStopping; delay = NextRetry(delay))
        {
            int status = await StepAsync(record.Name, "a deletion", () => PurgeAsync(entry, record));
            if (status == 0 || IsStopping) break;
            _context.Log.LogWarning("volume {Volume}: what it left cannot be deleted: {Error}; next try in {Delay}", record.Name, Errno.Describe(status), delay);
            await _context.Reactor.Delay(delay);
        }

        Purges--;
    }

    private async Task<int> PurgeAsync(Catalogue.Entry entry, CatalogueRecord record)
    {
        int status = await PurgeHeaderAsync(record);
        if (status == 0) status = await DropObjectsAsync(record.Id, _io.Flow, 0, VolumeHeader.ObjectsFor(record.Size, record.ObjectSize), paced: true, () => IsStopping);
        if (status == 0) status = await _io.FlushAsync(_io.Flow);
        if (status != 0 || IsStopping) return status;
        (status, _) = await Catalogue.PutAsync(entry, CatalogueRecord.Free);
        // Nothing of the flow is cached any more, unless a new volume has the name.
        if (status == 0 && Catalogue.Find(record.Name) == null && Table.Find(record.Name) == null)
            FlowTable.Remove(_context.Segment, FlowTable.Find(_context.Segment, System.Text.Encoding.ASCII.GetBytes(record.Name)));
        return status;
    }

    /// <summary>The header goes if it still is the deleted volume's.</summary>
    private async ValueTask<int> PurgeHeaderAsync(CatalogueRecord record)
    {
        var volume = await Table.EnterAsync(record.Name);
        try
        {
            if (!volume.IsLoaded && await ReadHeaderAsync(volume) is { } header && header.Id == record.Id) await DropHeaderAsync(volume);
            return 0;
        }
        catch (ErrnoException failed)
        {
            // A damaged header is nobody's to delete: DELETE with force is.
            return BadHeaders.ContainsKey(record.Name) ? 0 : failed.Errno;
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>
    /// Deletes objects [from, to) of a volume, several at once; the first error, or 0. Stops early if asked to. With
    /// <paramref name="paced"/> it rests three times as long as it works: guests, and other volumes' owners, have the better right to the store.
    /// </summary>
    private async Task<int> DropObjectsAsync(ulong id, uint flow, ulong from, ulong to, bool paced, Func<bool> stop)
    {
        if (from >= to) return 0;
        ulong next = from;
        int error = 0;
        int most = paced ? Math.Min(PacedDeletes, _options.FanOut) : _options.FanOut;
        var workers = new Task[(int)Math.Min((ulong)most, to - from)];
        for (int i = 0; i < workers.Length; i++) workers[i] = WorkAsync();
        await Task.WhenAll(workers);
        return error;

        async Task WorkAsync()
        {
            var name = new ObjectName(id);
            long started = _context.Reactor.Now;
            for (int done = 1; error == 0 && next < to && !stop(); done++)
            {
                var (status, _) = await _io.RunAsync(XsegOp.Delete, flow, name.Of(next++).ToArray());
                if (status != 0) error = status;
                // Where a deletion is a mere call the reactor has others to serve, too.
                if (done % 16 != 0) continue;
                await _context.Reactor.Delay(paced ? TimeSpan.FromTicks((_context.Reactor.Now - started) * 3 / 100) : TimeSpan.Zero);
                started = _context.Reactor.Now;
            }
        }
    }
}
