using Archipelago.Runtime;
using Archipelago.Vlmcd.Format;
using Archipelago.Vlmcd.Maps;
using Archipelago.Xseg;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>
/// Growing and shrinking. The header's write is the commit point of both. What a shrink cut off lies in [size, trim end) until it has
/// been dropped; a grow waits until what it would bring back is, so that it never shows again.
/// </summary>
internal sealed partial class VolumeService
{
    /// <summary>Sets the size.</summary>
    internal async Task<VolumeHeader> ResizeAsync(string name, ulong size)
    {
        await EnsureCatalogueAsync();
        var volume = await Table.EnterAsync(name);
        try
        {
            await LoadAsync(volume);
            var old = volume.Header!;
            if (VolumeHeader.SizeFault(size, old.ObjectSize) is { } fault) throw new ErrnoException(size != 0 && size % 512 == 0 ? Errno.EFBIG : Errno.EINVAL, $"volume {name}: {fault}");
            if (size > old.Size) await GrowAsync(volume, size);
            else if (size < old.Size) await ShrinkAsync(volume, size);
            // The record's size is for lists only.
            await ListAsync(volume.Header!);
            return volume.Header!;
        }
        finally
        {
            UnloadIfIdle(volume);
            Table.Leave(volume);
        }
    }

    private async ValueTask GrowAsync(Volume volume, ulong size)
    {
        // A trim that began now would drop what is written after the commit.
        await StopTrimAsync(volume);
        try
        {
            var old = volume.Header!;
            ulong trimEnd = volume.IsTrimmed ? old.Size : old.TrimEnd;
            int status = await DropLeftoversAsync(volume, Math.Min(size, trimEnd), paced: false, () => IsStopping);
            if (status == 0 && IsStopping) status = Errno.ESHUTDOWN;
            if (status == 0 && trimEnd > old.Size) status = await _io.FlushAsync(volume.Flow);
            if (status != 0)
                throw new ErrnoException(status, $"volume {volume.Name}: cannot grow until what an earlier shrink cut off there is deleted: {Errno.Describe(status)}");
            // What lies beyond the new size is still to be trimmed.
            await CommitAsync(volume, old with { Size = size, TrimEnd = Math.Max(size, trimEnd) });
        }
        finally
        {
            volume.StopTrim = false;
        }

        if (volume.Header!.TrimEnd > volume.Size) StartTrim(volume);
    }

    private async ValueTask ShrinkAsync(Volume volume, ulong size)
    {
        await StopTrimAsync(volume);
        await volume.HoldAsync();
        try
        {
            // If the outcome is unknown the old size holds here and the next start may find the new one: data beyond it is at risk
            // only between the two, so the old header is written again.
            var old = volume.Header!;
            try
            {
                await CommitAsync(volume, old with { Size = size, TrimEnd = old.TrimEnd });
            }
            catch (ErrnoException)
            {
                await RestoreAsync(volume, old);
                throw;
            }

            volume.IsTrimmed = false;
        }
        finally
        {
            volume.StopTrim = false;
            volume.Release();
        }

        StartTrim(volume);
    }

    private async ValueTask CommitAsync(Volume volume, VolumeHeader header)
    {
        header = header with { Sequence = header.Sequence + 1 };
        await WriteHeaderAsync(volume, header);
        volume.Update(header);
    }

    private async ValueTask RestoreAsync(Volume volume, VolumeHeader old)
    {
        try
        {
            await CommitAsync(volume, old with { Sequence = old.Sequence + 1 });
        }
        catch (ErrnoException unknown)
        {
            // Out of memory with it: the next request reads what the store holds.
            _context.Log.LogError("volume {Volume}: whether it has shrunk is not known: {Error}; it is loaded again", volume.Name, unknown.Message);
            Table.Unload(volume);
        }
    }

    private void StartTrim(Volume volume)
    {
        if (volume.TrimLoopRuns) return;
        volume.TrimLoopRuns = true;
        volume.Users++;
        _ = TrimLoopAsync(volume);
    }

    private async Task TrimLoopAsync(Volume volume)
    {
        for (var delay = FirstRetry; !IsStopping; delay = NextRetry(delay))
        {
            int status = await TrimAsync(volume);
            if (status == 0 && !IsStopping) status = await StepAsync(volume.Name, "recording a trim", () => RecordTrimAsync(volume));
            if (!volume.IsLoaded || volume.Header!.TrimEnd == volume.Size || IsStopping) break;
            if (status is 0 or Errno.ECANCELED)
            {
                // Somebody shrank the volume further: once more, from the new end.
                await _context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
                delay = FirstRetry / 2;
                continue;
            }

            _context.Log.LogWarning("volume {Volume}: what a shrink cut off cannot be deleted: {Error}; next try in {Delay}", volume.Name, Errno.Describe(status), delay);
            await _context.Reactor.Delay(delay);
        }

        volume.TrimLoopRuns = false;
        if (IsStopping) return;
        await volume.Gate.EnterAsync();
        UnloadIfIdle(volume);
        Table.Leave(volume);
    }

    /// <summary>Under the gate: no trim runs from here on until <see cref="Volume.StopTrim"/> is reset.</summary>
    private static async ValueTask StopTrimAsync(Volume volume)
    {
        volume.StopTrim = true;
        if (volume.Trim is { } running) await running;
    }

    private Task<int> TrimAsync(Volume volume) =>
        volume.Trim is { IsCompleted: false } running ? running : volume.Trim = StepAsync(volume.Name, "a trim", () => TrimOnceAsync(volume));

    private async Task<int> TrimOnceAsync(Volume volume)
    {
        int status = Errno.ECANCELED;
        if (volume.IsLoaded && !volume.StopTrim)
        {
            status = await DropLeftoversAsync(volume, volume.Header!.TrimEnd, paced: true, () => volume.StopTrim || IsStopping);
            if (status == 0) status = volume.StopTrim || IsStopping ? Errno.ECANCELED : await _io.FlushAsync(volume.Flow);
            volume.IsTrimmed = status == 0;
        }

        return status;
    }

    /// <summary>Drops what lies in [size, <paramref name="end"/>), rounded up to whole objects.</summary>
    private async Task<int> DropLeftoversAsync(Volume volume, ulong end, bool paced, Func<bool> stop)
    {
        var header = volume.Header!;
        if (end <= header.Size) return 0;
        ulong objectSize = (ulong)header.ObjectSize, inside = header.Size % objectSize;
        int status = 0;
        if (inside != 0)
            status = (await _io.RunAsync(XsegOp.Discard, volume.Flow, new ObjectName(header.Id).Of(header.Size / objectSize).ToArray(), inside, objectSize - inside)).Status;
        return status != 0 ? status : await DropObjectsAsync(
            header.Id, volume.Flow, VolumeHeader.ObjectsFor(header.Size, header.ObjectSize), VolumeHeader.ObjectsFor(end, header.ObjectSize), paced, stop);
    }

    private async Task<int> RecordTrimAsync(Volume volume)
    {
        await volume.Gate.EnterAsync();
        try
        {
            if (volume.IsLoaded && volume.IsTrimmed && volume.Header!.TrimEnd > volume.Size)
                await CommitAsync(volume, volume.Header with { TrimEnd = volume.Size });
            return 0;
        }
        catch (ErrnoException failed)
        {
            return failed.Errno;
        }
        finally
        {
            volume.Gate.Exit();
        }
    }
}
