using System.Text;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Maps;
using Archipelago.Maps;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Mapperd.Volumes;

/// <summary>
/// A volume that somebody uses or changes, by its name. What is in memory is what the store holds, as long as this host has the lock; without it, it is what the
/// store held when it was read. Structure changes under <see cref="Gate"/>. One reactor.
/// </summary>
internal sealed class Volume(string name, IReactor reactor)
{
    internal string Name { get; } = name;
    internal byte[] NameBytes { get; } = Encoding.ASCII.GetBytes(name);
    internal AsyncGate Gate { get; } = new(reactor);
    /// <summary>Operations that hold a reference; at 0 the volume may be forgotten.</summary>
    internal int Users { get; set; }

    internal bool IsLoaded => Root != null && !IsReloading;
    /// <summary>It is being read: what is here may be of two times.</summary>
    internal bool IsReloading { get; set; }
    /// <summary>Sectors of snapshots that were never committed: a later one may have their number.</summary>
    internal List<int> Leftovers { get; } = [];
    internal VolumeRoot? Root { get; private set; }
    /// <summary>The root as the store holds it: what the next compare-and-swap expects.</summary>
    internal byte[] RootSector { get; private set; } = [];
    /// <summary>Snapshots by their sector behind the root.</summary>
    internal List<SnapshotRecord?> Slots { get; } = [];
    internal VersionMap Head { get; private set; } = null!;
    /// <summary>What is wrong with records of snapshots, by sector.</summary>
    internal SortedDictionary<int, string> Faults { get; } = [];

    /// <summary>This host holds the lock.</summary>
    internal bool IsLocked => LockUsers > 0;
    /// <summary>Operations, and the OPEN for writing, that need the lock.</summary>
    internal int LockUsers { get; set; }
    /// <summary>Rises when the lock is lost: who began to use it before has no share in it when it is taken again.</summary>
    internal int LockTerm { get; set; }
    /// <summary>Opened for writing by vlmcd.</summary>
    internal bool IsOpen { get; set; }
    /// <summary>Whose lock this host has; known also while the rest is not.</summary>
    internal ulong LockedId { get; set; }
    /// <summary>An operator keeps the lock, whether anybody opens the volume or not.</summary>
    internal bool IsKept { get; set; }
    internal uint Flow { get; set; }

    /// <summary>Copies under way, by object: who comes second waits for the first.</summary>
    internal Dictionary<ulong, Task<int>> Copies { get; } = [];
    /// <summary>A new directory is being made: entries must not change.</summary>
    internal bool IsRebuilding { get; set; }
    internal EntryWriter? Writer { get; set; }
    /// <summary>Somebody deletes or renames it, and waits for background work to let go of it.</summary>
    internal bool IsWanted { get; set; }
    /// <summary>A purge of a snapshot goes on.</summary>
    internal bool IsPurging { get; set; }
    /// <summary>Another host may have had it before this one took its lock.</summary>
    internal bool WasElsewhere { get; set; }
    /// <summary>Number of the snapshot that is being compared with its neighbours and removed, or 0.</summary>
    internal ulong PurgeVictim { get; set; }
    /// <summary>Objects that the head shared with that snapshot, from which it comes, and has left since.</summary>
    internal List<(ulong Layer, ulong Index)> LeftToVictim { get; } = [];
    /// <summary>The same of chunks of the map.</summary>
    internal List<(ulong Layer, int Index)> ChunksLeftToVictim { get; } = [];

    internal IEnumerable<SnapshotRecord> Snapshots => Slots.Where(record => record != null)!;

    internal SnapshotRecord? Find(string snapshot) => Snapshots.FirstOrDefault(record => record.State == SnapshotState.Live && record.Name == snapshot);

    internal SnapshotRecord? Find(ulong number) => Snapshots.FirstOrDefault(record => record.Number == number);

    /// <summary>Versions that come directly from a snapshot of this volume: snapshots, and the head as null.</summary>
    internal IEnumerable<SnapshotRecord?> ChildrenOf(ulong number) =>
        Root!.Parent == number ? Snapshots.Where(record => record.Parent == number).Append(null) : Snapshots.Where(record => record.Parent == number);

    internal void Load(VolumeRoot root, byte[] sector, VersionMap head)
    {
        Update(root, sector);
        Head = head;
    }

    /// <summary>The same as it is now, for who looks at it over a while: the volume may be changed, closed and unloaded meanwhile.</summary>
    internal Volume AsSeen(IReactor by)
    {
        var seen = new Volume(Name, by) { Flow = Flow, IsOpen = IsOpen };
        seen.Load(Root!, RootSector, Head.Unlocked(Root!.Layer));
        seen.Slots.AddRange(Slots);
        foreach (var (slot, fault) in Faults) seen.Faults.Add(slot, fault);
        return seen;
    }

    internal void Update(VolumeRoot root, byte[] sector) => (Root, RootSector) = (root, sector);

    /// <summary>A sector for another snapshot. One that is damaged is not written over.</summary>
    internal int FreeSlot()
    {
        for (int slot = 0; slot < Slots.Count; slot++)
            if (Slots[slot] == null && !Faults.ContainsKey(slot)) return slot;
        return Slots.Count;
    }

    internal void SetHead(VersionMap head) => Head = head;

    internal void Unload()
    {
        Root = null;
        Slots.Clear();
        Faults.Clear();
        Leftovers.Clear();
        Head = null!;
    }
}
