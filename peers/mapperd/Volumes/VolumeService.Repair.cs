using Archipelago.Mapperd.Checking;
using Archipelago.Mapperd.Format;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Volumes;

/// <summary>Repairs of what a check has found: only what follows from the volume's header, which is the truth. Each is one write, by compare-and-swap.</summary>
internal sealed partial class VolumeService
{
    /// <summary>With the volume's lock, and under the gates of both names: is it still so, then it is put right. False: it is not so any more.</summary>
    /// <exception cref="ErrnoException">EBUSY: another host has the lock. EEXIST: another volume has the name. The store's own.</exception>
    internal async ValueTask<bool> RepairAsync(Finding finding)
    {
        if (finding.Repair == Repair.BadName) return await FreeBadNameAsync(finding);
        string other = finding.Repair == Repair.StaleName ? finding.Object[2..] : finding.Volume;
        var entered = new List<Volume>();
        try
        {
            foreach (string name in new[] { finding.Volume, other }.Distinct().Order(StringComparer.Ordinal)) entered.Add(await Table.EnterAsync(name));
            await _locks.HoldAsync(finding.Id);
            try
            {
                return await RepairHeldAsync(finding, other);
            }
            finally
            {
                await _locks.LetGoAsync(finding.Id);
            }
        }
        finally
        {
            foreach (var volume in entered) Table.Leave(volume);
        }
    }

    private async ValueTask<bool> FreeBadNameAsync(Finding finding)
    {
        string name = finding.Object[2..];
        var volume = await Table.EnterAsync(name);
        try
        {
            var sector = await _store.ReadSectorAsync(VolumeName.ObjectOf(name), $"name {name}");
            return NameCheck.DamageOf(name, sector) == finding && await DropNameAloneAsync(name, sector);
        }
        finally
        {
            Table.Leave(volume);
        }
    }

    private async ValueTask<bool> RepairHeldAsync(Finding finding, string other)
    {
        var entries = (await Catalogue.ReadAsync()).Where(entry => entry.Record.Id == finding.Id).ToArray();
        var again = new List<Finding>();
        await new HeaderCheck(_store, entries).CheckAsync(finding.Id, again);
        if (finding.Repair == Repair.StaleName && await NameCheck.CheckAsync(_store, other, _ => true) is { } stale) again.Add(stale);
        if (!again.Contains(finding) || await _store.ReadRootAsync(finding.Id) is not { } root) return false;
        switch (finding.Repair)
        {
            case Repair.Record:
                await Catalogue.ReplaceAsync(entries[0], entries[0].Record.As(root, RecordState.Live));
                return true;
            case Repair.Duplicate:
                await Catalogue.ReplaceAsync(entries[1], null);
                return true;
            case Repair.Deletion:
                await Catalogue.ReplaceAsync(entries[0], CatalogueRecord.Of(root, RecordState.Deleting));
                StartSettling();
                return true;
            case Repair.Name:
                await RepairNameAsync(root);
                return true;
            default:
                // What was seen, and nothing else: whoever makes a volume of this name on another host may have looked it up before.
                return await DropNameAloneAsync(other, NameRecord.ToSector(finding.Id, other));
        }
    }

    private async ValueTask RepairNameAsync(VolumeRoot root)
    {
        var sector = await _store.ReadSectorAsync(VolumeName.ObjectOf(root.Name), $"volume {root.Name}");
        ulong owner = 0;
        try
        {
            owner = NameRecord.Read(sector, root.Name);
        }
        catch (ErrnoException)
        {
            // Damaged: nobody has it, and the header says whose it was.
        }

        if (owner != 0 && await _store.ReadRootAsync(owner) is { IsDeleted: false } its && its.Name == root.Name)
            throw new ErrnoException(Errno.EEXIST, $"volume {root.Id:x16} says that its name is {root.Name}, which another one has, {owner:x16}; rename that one first");
        await SwapAsync(VolumeName.ObjectOf(root.Name), sector, NameRecord.ToSector(root.Id, root.Name), root.Name, Errno.EEXIST);
    }
}
