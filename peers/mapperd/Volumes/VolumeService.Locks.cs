using Archipelago.Mapperd.Control;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Volumes;

/// <summary>The lock of a volume as an operator takes it, gives it back, breaks it and sees it.</summary>
internal sealed partial class VolumeService
{
    /// <summary>Takes the lock, and keeps it for this host's segment until <see cref="UnkeepAsync"/>, whether anybody opens the volume or not.</summary>
    /// <exception cref="ErrnoException">EBUSY: another host has it. EALREADY: it is kept already.</exception>
    internal async Task KeepAsync(string name)
    {
        var volume = await Table.EnterAsync(name);
        try
        {
            if (volume.IsKept) throw new ErrnoException(Errno.EALREADY, $"volume {name} is locked here already");
            await LockPatientlyAsync(volume);
            volume.IsKept = true;
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Gives back what <see cref="KeepAsync"/> took. Who has the volume open keeps its lock.</summary>
    /// <exception cref="ErrnoException">EINVAL: it is not kept here.</exception>
    internal async Task UnkeepAsync(string name)
    {
        var volume = await Table.EnterAsync(name);
        try
        {
            if (!volume.IsKept) throw await NotKeptAsync(volume);
            // If it fails the lock is still held: say so, and keep it.
            await UnlockAsync(volume, orThrow: true);
            volume.IsKept = false;
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    /// <summary>Breaks the lock of a volume that another host has; that one is fenced first.</summary>
    /// <exception cref="ErrnoException">EBUSY: this host has it, and need not break it.</exception>
    internal async Task BreakLockAsync(string name)
    {
        ulong id = await _store.ResolveAsync(name);
        if (id == 0) throw VolumeStore.NoVolume(name);
        if (Table.Find(name) is { IsLocked: true } own)
            throw new ErrnoException(Errno.EBUSY, own.IsOpen ? OpenHere(name) : $"volume {name}: this host itself is at work on it; wait for it to end (`archipelago volume info {name}`)");
        await _locks.BreakAsync(name, id);
    }

    /// <summary>Who has the lock of a volume.</summary>
    internal async Task<LockInfo> LockOfAsync(string name, ulong id)
    {
        var record = await _locks.ReadAsync(id);
        uint flow = Xseg.Tables.FlowTable.Find(_context.Segment, System.Text.Encoding.ASCII.GetBytes(name));
        var volume = Table.Find(name) is { IsLocked: true } locked && locked.LockedId == id ? locked : null;
        bool isOurs = record.State == "busy" && (volume == null || record.Epoch == volume.Root?.Epoch);
        // What the store says counts: the next renewal finds it, too.
        if (record.State != "unknown" && !isOurs && (volume is { IsOpen: true } || _locks.IsMarkedOpen(flow, id) || Xseg.Tables.FlowTable.IsLost(_context.Segment, flow)))
            return record with { State = "lost" };
        // Opened before this mapperd began.
        if (volume == null) return isOurs && _locks.IsMarkedOpen(flow, id) ? record with { State = "open" } : record;
        return record with { State = volume.IsOpen ? "open" : volume.IsKept ? "kept" : "busy", Kept = volume.IsKept };
    }

    private async ValueTask<ErrnoException> NotKeptAsync(Volume volume)
    {
        string name = volume.Name;
        ulong id = await _store.ResolveAsync(name);
        if (id == 0) return VolumeStore.NoVolume(name);
        if (volume.IsOpen || await WasOpenAsync(volume)) return new ErrnoException(Errno.EBUSY, OpenHere(name));
        var found = await _locks.ReadAsync(id);
        return found.State == "elsewhere"
            ? new ErrnoException(Errno.EBUSY, $"volume {name} is locked by {found.Owner ?? "another host"}; give it back there, or, if that host is dead for sure, `archipelago volume unlock --force {name}`")
            : new ErrnoException(Errno.EINVAL, $"volume {name} is not locked");
    }

    private static string OpenHere(string name) =>
        $"volume {name} is open on this host: its lock goes with the last close (end its NBD clients, `archipelago volume close {name}` for what `volume open` opened)";

    private static ErrnoException Interrupted(Archipelago.Maps.VolumeName name) => new(Errno.ECANCELED, $"{name}: ended before it was done");
}
