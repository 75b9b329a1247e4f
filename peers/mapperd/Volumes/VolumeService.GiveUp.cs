using Archipelago.Mapperd.Format;
using Archipelago.Runtime;
using Microsoft.Extensions.Logging;

namespace Archipelago.Mapperd.Volumes;

/// <summary>The end of a volume whose header is missing or damaged and of which nobody has a copy: only an operator knows that.</summary>
internal sealed partial class VolumeService
{
    /// <summary>
    /// Gives a lost volume up: its name is free, and the catalogue does not list it. What only it referred to is the collector's then; what clones of it share they keep, for
    /// their own maps say so. Each step may be repeated. False: it has a header again.
    /// </summary>
    /// <exception cref="ErrnoException">EBUSY: it is open here, or another host has its lock. The store's own.</exception>
    internal async ValueTask<bool> GiveUpAsync(string name, ulong id)
    {
        var volume = await Table.EnterAsync(name);
        try
        {
            // Who has it open has its header in memory, and writes it again at the next change.
            if (volume.IsLocked) throw new ErrnoException(Errno.EBUSY, $"volume {name} is open here, with its header in memory; a snapshot of it writes that again, else close it first");
            await _locks.HoldAsync(id);
            try
            {
                if (!await IsLostAsync(id)) return false;
                await FreeNameAsync(name, id);
                await _store.DeleteAsync(VolumeRoot.ObjectOf(id));
                foreach (var entry in (await Catalogue.ReadAsync()).Where(entry => entry.Record.Id == id)) await Catalogue.ReplaceAsync(entry, null);
            }
            finally
            {
                await _locks.LetGoAsync(id);
            }

            await DropLockOfGoneAsync(name, id);
            _context.Log.LogWarning("volume {Volume}, {Id:x16}: its header is lost, and it was given up", name, id);
            return true;
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    private async ValueTask<bool> IsLostAsync(ulong id)
    {
        var sector = await _store.ReadSectorAsync(VolumeRoot.ObjectOf(id), $"volume {id:x16}");
        if (Sector.IsZero(sector)) return true;
        try
        {
            VolumeRoot.Read(sector, id);
            return false;
        }
        catch (ErrnoException)
        {
            return !VolumeRoot.IsOfOtherBuild(sector);
        }
    }
}
