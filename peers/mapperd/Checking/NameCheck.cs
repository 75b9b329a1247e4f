using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Volumes;
using Archipelago.Maps;
using Archipelago.Runtime;

namespace Archipelago.Mapperd.Checking;

/// <summary>Checks the records of names against the volumes that they name.</summary>
internal static class NameCheck
{
    /// <summary>What is wrong with the record of a name; null for nothing.</summary>
    /// <param name="store">Reads it.</param>
    /// <param name="name">The name.</param>
    /// <param name="isListed">Whether the catalogue lists a volume, whatever its state.</param>
    /// <exception cref="ErrnoException">The store fails.</exception>
    internal static async ValueTask<Finding?> CheckAsync(VolumeStore store, string name, Func<ulong, bool> isListed)
    {
        string place = $"n.{name}";
        var sector = await store.ReadSectorAsync(VolumeName.ObjectOf(name), $"name {name}");
        if (DamageOf(name, sector) is { } damage) return damage;
        ulong id = NameRecord.Read(sector, name);
        if (id == 0) return null;
        VolumeRoot? root;
        try
        {
            root = await store.ReadRootAsync(id);
        }
        catch (ErrnoException damaged) when (damaged.Errno is Errno.EPROTO or Errno.EIO)
        {
            // That is the finding.
            return null;
        }

        // What was being dropped, and was cut off, is nobody's, and the collector's.
        if (root == null) return isListed(id) || NameRecord.IsDropped(sector) ? null : new Finding("", place, $"names volume {id:x16}, which there is not", "run `archipelago volume gc`, which frees it") { Id = id };
        return Compare(name, root);
    }

    /// <summary>What is wrong with the record itself, as it was read; null for nothing.</summary>
    internal static Finding? DamageOf(string name, byte[] sector)
    {
        string place = $"n.{name}";
        try
        {
            NameRecord.Read(sector, name);
            return null;
        }
        catch (ErrnoException damaged)
        {
            if (NameRecord.IsOfOtherBuild(sector)) return new Finding("", place, Finding.WhatOf(damaged.Message, place), "use the build that wrote it");
            return new Finding("", place, Finding.WhatOf(damaged.Message, place), "`archipelago volume fsck --repair` frees it: no volume has this name") { Repair = Repair.BadName };
        }
    }

    /// <summary>The same of a name whose volume has a header: null if that says so, too, or is about to free the name, as it is being deleted.</summary>
    internal static Finding? Compare(string name, VolumeRoot root) => root.IsDeleted || root.Name == name ? null
        : HeaderCheck.Repairable(Repair.StaleName, root, $"n.{name}", $"names volume {root.Id:x16}, which has the name {root.Name}: a rename was cut off, and the name counts as free")
        with
        { Advice = "run `archipelago volume gc`, or `archipelago volume fsck --repair`" };
}
