using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Volumes;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Checking;

/// <summary>
/// Compares what tells of a volume: the catalogue's record, the header, the name, the records of snapshots, and what it was cloned from. The header is the truth. A volume that
/// is being made or deleted is its maker's matter, and no finding. One reactor.
/// </summary>
internal sealed class HeaderCheck(VolumeStore store, IReadOnlyList<Catalogue.Entry> entries)
{
    private const int MostBases = 1000;

    /// <summary>Adds what is wrong with a volume; its header, or null if its map cannot be checked.</summary>
    /// <param name="id">Which volume.</param>
    /// <param name="found">Gets the findings.</param>
    /// <exception cref="ErrnoException">The store fails.</exception>
    internal async ValueTask<VolumeRoot?> CheckAsync(ulong id, List<Finding> found)
    {
        var records = entries.Where(entry => entry.Record.Id == id).ToArray();
        if (records.Any(entry => entry.Record.State != RecordState.Live)) return null;
        string header = $"v.{id:x16}", listed = records.FirstOrDefault()?.Record.Name ?? "";
        var sector = await store.ReadSectorAsync(VolumeRoot.ObjectOf(id), $"volume {id:x16}");
        if (Sector.IsZero(sector))
        {
            if (records.Length > 0) found.Add(new Finding(listed, header, "is missing: the header of a volume that the catalogue lists", $"restore the object from a copy; {GiveUp(listed)}") { Id = id, Repair = Repair.GiveUp });
            return null;
        }

        VolumeRoot root;
        try
        {
            root = VolumeRoot.Read(sector, id);
        }
        catch (ErrnoException damaged)
        {
            bool isLost = !VolumeRoot.IsOfOtherBuild(sector);
            found.Add(new Finding(listed, header, Finding.WhatOf(damaged.Message, header), !isLost ? "open it with the build that wrote it" : $"restore the object from a copy (until then the volume cannot be opened); {GiveUp(listed)}") { Id = id, Repair = isLost ? Repair.GiveUp : Repair.None });
            return null;
        }

        if (root.IsDeleted)
        {
            if (records.Length > 0) found.Add(Repairable(Repair.Deletion, root, RecordObject(records[0]), $"lists a volume that its header, {header}, says is deleted"));
            return null;
        }

        byte[] name = await store.ReadSectorAsync(VolumeName.ObjectOf(root.Name), $"volume {root.Name}");
        if (records.Length > 0) CheckRecords(root, records, found);
        else if (IsNamed(name, root)) found.Add(new Finding(root.Name, header, "is in no record of the catalogue", "run `archipelago volume gc`, which lists it again (until then nothing is deleted that may have clones)") { Id = id });
        // What never came to be, or was being removed: the collector's.
        else return null;
        if (!IsNamed(name, root)) found.Add(Repairable(Repair.Name, root, $"n.{root.Name}", $"{NameFault(name, root)}: nobody can open the volume of this name, {id:x16}"));
        await CheckBaseAsync(root, found);
        return root;
    }

    /// <summary>The records of a volume's snapshots, as they were read with it.</summary>
    internal static void CheckSnapshots(Volume seen, List<Finding> found)
    {
        var root = seen.Root!;
        string header = $"v.{root.Id:x16}";
        foreach (var (slot, fault) in seen.Faults)
            found.Add(new Finding(root.Name, header, $"sector {slot + 1}: {Finding.WhatOf(fault, header)}", "restore that sector from a copy (until then nothing of the volume is removed)") { Id = root.Id });
        // Which one is missing is known then.
        if (seen.Faults.Count > 0) return;
        foreach (var snapshot in seen.Snapshots)
        {
            string name = snapshot.Name.Length > 0 ? $"{snapshot.Number} {snapshot.Name}" : $"{snapshot.Number}";
            if (snapshot.Parent != 0 && seen.Find(snapshot.Parent) == null) Wrong($"snapshot {name} comes from snapshot {snapshot.Parent}, of which there is no record");
            if (snapshot.Layer == root.Layer) Wrong($"snapshot {name} has the layer {root.Layer:x14} to which the volume writes");
        }

        if (root.Parent != 0 && seen.Find(root.Parent) == null) Wrong($"the volume comes from snapshot {root.Parent}, of which there is no record");
        foreach (var same in seen.Snapshots.GroupBy(snapshot => snapshot.Number).Where(same => same.Count() > 1)) Wrong($"{same.Count()} records are of snapshot {same.Key}");
        foreach (var same in seen.Snapshots.Where(snapshot => snapshot.State == SnapshotState.Live).GroupBy(snapshot => snapshot.Name).Where(same => same.Count() > 1))
            Wrong($"snapshots {string.Join(", ", same.Select(snapshot => snapshot.Number))} have one name, {same.Key}");

        void Wrong(string what) => found.Add(new Finding(root.Name, header, what, "restore the object from a copy, or copy the volume's content to a new one (`volume export`) and delete it") { Id = root.Id });
    }

    private static void CheckRecords(VolumeRoot root, Catalogue.Entry[] records, List<Finding> found)
    {
        if (records.Length > 1) found.Add(Repairable(Repair.Duplicate, root, RecordObject(records[1]), $"lists volume {root.Id:x16}, as {RecordObject(records[0])} does"));
        var (is_, should) = (records[0].Record, CatalogueRecord.Of(root, RecordState.Live));
        if (is_.IsAlone)
            found.Add(new Finding(root.Name, RecordObject(records[0]), "was lost, and was written again alone: clones of the volume may be in no record", "run `archipelago volume gc`, which lists them (until then nothing is deleted that may have clones)") { Id = root.Id });
        string[] differs =
        [
            .. Differs("name", is_.Name, should.Name), .. Differs("size", is_.Size, should.Size), .. Differs("object size", is_.ObjectSize, should.ObjectSize), .. Differs("creation", is_.Created, should.Created),
            .. Differs("base", $"{is_.BaseVolume:x16}@#{is_.BaseSnapshot}", $"{should.BaseVolume:x16}@#{should.BaseSnapshot}"),
        ];
        if (differs.Length > 0) found.Add(Repairable(Repair.Record, root, RecordObject(records[0]), $"disagrees with the header, v.{root.Id:x16}: {string.Join(", ", differs)}"));
    }

    private static string[] Differs<T>(string what, T value, T should) where T : IEquatable<T> => value.Equals(should) ? [] : [$"{what} {value} instead of {should}"];

    private async ValueTask CheckBaseAsync(VolumeRoot root, List<Finding> found)
    {
        if (root.BaseVolume == 0) return;
        string from = $"was cloned from snapshot {root.BaseSnapshot} of volume {root.BaseVolume:x16}";
        var seen = new Volume(root.Name, store.Reactor);
        string? wrong = !await TryLoadAsync(seen, root.BaseVolume) ? $"{from}, whose header is missing or damaged"
            : seen.Root!.IsDeleted ? $"{from} ({seen.Root.Name}), which is deleted"
            : seen.Faults.Count == 0 && seen.Find(root.BaseSnapshot) == null ? $"{from} ({seen.Root.Name}), of which there is no record"
            : await CircleAsync(root);
        if (wrong == null) return;
        found.Add(new Finding(
            root.Name, $"v.{root.Id:x16}", wrong, $"restore v.{root.BaseVolume:x16} from a copy; what the clone shares is read as before, copy it while it is there (`volume export`)")
        { Id = root.Id });
    }

    /// <summary>What is wrong if a volume is, by way of others, a clone of itself.</summary>
    private async ValueTask<string?> CircleAsync(VolumeRoot root)
    {
        var above = new HashSet<ulong>();
        for (VolumeRoot? at = root; at is { BaseVolume: not 0 } && above.Add(at.BaseVolume) && above.Count < MostBases; at = await RootOfAsync(at.BaseVolume))
            if (at.BaseVolume == root.Id) return $"is a clone of itself, by way of {string.Join(", ", above.Where(id => id != root.Id).Select(id => $"{id:x16}"))}";
        return null;
    }

    private async ValueTask<VolumeRoot?> RootOfAsync(ulong id)
    {
        try
        {
            return await store.ReadRootAsync(id);
        }
        catch (ErrnoException damaged) when (damaged.Errno is Errno.EPROTO or Errno.EIO)
        {
            return null;
        }
    }

    private async ValueTask<bool> TryLoadAsync(Volume seen, ulong id)
    {
        try
        {
            return await store.TryLoadAsync(seen, id);
        }
        catch (ErrnoException damaged) when (damaged.Errno is Errno.EPROTO or Errno.EIO)
        {
            return false;
        }
    }

    private static bool IsNamed(byte[] sector, VolumeRoot root) => NameFault(sector, root) == null;

    private static string? NameFault(byte[] sector, VolumeRoot root)
    {
        try
        {
            return NameRecord.Read(sector, root.Name) is var id && id == root.Id ? null : id == 0 ? "names no volume" : $"names another volume, {id:x16}";
        }
        catch (ErrnoException damaged)
        {
            return Finding.WhatOf(damaged.Message, "n." + root.Name);
        }
    }

    internal static Finding Repairable(Repair repair, VolumeRoot root, string name, string what) =>
        new(root.Name, name, what, "`archipelago volume fsck --repair` puts it right") { Repair = repair, Id = root.Id };

    /// <summary>The way out if there is no copy.</summary>
    internal static string GiveUp(string name) => $"if there is none the volume is lost, and `archipelago volume fsck {(name.Length > 0 ? name : "NAME")} --give-up` gives it up";

    private static string RecordObject(Catalogue.Entry entry) => Catalogue.PlaceOf(entry.Slot);
}
